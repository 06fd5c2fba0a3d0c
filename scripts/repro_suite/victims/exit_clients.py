"""One short life of a program that uses etcd-client-py or valkey-glide and leaves while work is in flight.

    exit_clients.py SCENARIO --etcd URL --valkey PORT --exit-code N

It asks nothing of its clients before it leaves: no close, no wait. What it prints on stderr is CPython's or the clients'.
`hold` does nothing and waits to be killed, so that the driver can look at the process.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time

options: argparse.Namespace
# Kept alive to the end, as a global of a real program is.
kept: list = []


async def etcd():
    from etcd_client import Client

    communicator = await Client([options.etcd]).connect().__aenter__()
    kept.append(communicator)
    return communicator


async def glide():
    from glide import GlideClient, GlideClientConfiguration, NodeAddress

    client = await GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", options.valkey)]))
    kept.append(client)
    return client


def glide_sync():
    from glide_sync import GlideClient, GlideClientConfiguration, NodeAddress

    client = GlideClient.create(GlideClientConfiguration([NodeAddress("127.0.0.1", options.valkey)]))
    kept.append(client)
    return client


def put(communicator, count):
    """Puts in flight; nobody waits for them. Futures, not tasks: asyncio.run ends without cancelling them."""
    return [asyncio.ensure_future(communicator.put(b"k%d" % number, b"value")) for number in range(count)]


async def follow(communicator, key):
    async for _ in communicator.watch(key):
        pass


# --- the six scenarios -----------------------------------------------------------------------------------


async def watch():
    """s1: a watch is active at shutdown."""
    communicator = await etcd()
    kept.append(asyncio.ensure_future(follow(communicator, b"watched")))
    await asyncio.sleep(0.02)
    await communicator.put(b"watched", b"value")


async def puts():
    """s2: 50 concurrent puts."""
    kept.append(put(await etcd(), 50))
    await asyncio.sleep(0)


async def clients():
    """s3: 5 clients in quick succession."""
    for _ in range(5):
        communicator = await etcd()
        await communicator.put(b"first", b"value")
        kept.append(put(communicator, 5))


async def mixed():
    """s4: 3 watches and 30 operations."""
    communicator = await etcd()
    for number in range(3):
        kept.append(asyncio.ensure_future(follow(communicator, b"k%d" % number)))
    await asyncio.sleep(0.01)
    kept.append(put(communicator, 15))
    kept.append([asyncio.ensure_future(communicator.get(b"k%d" % number)) for number in range(15)])
    await asyncio.sleep(0)


async def short():
    """s5: one put in an ultra-short process."""
    kept.append(put(await etcd(), 1))
    await asyncio.sleep(0)


async def together():
    """s6: etcd and valkey-glide."""
    client = await glide()
    communicator = await etcd()
    kept.append([asyncio.ensure_future(client.set("key", "value")) for _ in range(10)])
    kept.append(put(communicator, 20))
    await asyncio.sleep(0)


# --- variants --------------------------------------------------------------------------------------------


async def many():
    """2,000 puts."""
    kept.append(put(await etcd(), 2000))
    await asyncio.sleep(0)


async def late():
    """An event for a watch arrives when the interpreter has gone and libc's exit handlers still run."""
    import ctypes

    communicator = await etcd()
    kept.append(asyncio.ensure_future(follow(communicator, b"late")))
    await asyncio.sleep(0.1)
    libc = ctypes.CDLL(None)
    libc.__cxa_atexit(ctypes.cast(libc.usleep, ctypes.c_void_p), ctypes.c_void_p(LATE_LINGERS_US), None)
    # Another process puts the key, once this one has lost its interpreter.
    kept.append(subprocess.Popen([sys.executable, "-S", "-c", PUT_WHEN_GONE, options.etcd, str(os.getpid())],
                                 stdin=subprocess.PIPE))


LATE_LINGERS_US = 1_500_000
# Its stdin is closed when the interpreter that started it closes its files, or ends.
PUT_WHEN_GONE = """
import base64, json, sys, time, urllib.request
time.sleep(0.5)
body = {"key": base64.b64encode(b"late").decode(), "value": base64.b64encode(b"value").decode()}
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
    urllib.request.Request(sys.argv[1] + "/v3/kv/put", json.dumps(body).encode()), timeout=10).read()
"""


async def glide_async():
    """valkey-glide alone."""
    client = await glide()
    kept.append([asyncio.ensure_future(client.set("key%d" % number, "value")) for number in range(50)])
    await asyncio.sleep(0)


async def glide_both():
    """valkey-glide's asynchronous and synchronous client."""
    glide_sync().set("key", "value")
    await glide_async()


def run_sync():
    """valkey-glide's synchronous client alone."""
    glide_sync().set("key", "value")


def run_handler():
    """A handler of the user's that uses the client while the interpreter exits."""
    import atexit

    loop = asyncio.new_event_loop()
    kept.append(loop)
    communicator = loop.run_until_complete(etcd())

    async def last_words():
        await communicator.put(b"last", b"words")
        kept.append(put(communicator, 50))
        await asyncio.sleep(0)
        print("said", flush=True)

    atexit.register(lambda: loop.run_until_complete(last_words()))


def run_open(scenario):
    """The loop is neither closed, nor its tasks cancelled."""
    loop = asyncio.new_event_loop()
    kept.append(loop)
    loop.run_until_complete(scenario())


async def idle_etcd():
    """Nothing is in flight."""
    communicator = await etcd()
    await communicator.put(b"idle", b"value")


async def idle_glide():
    client = await glide()
    await client.set("idle", "value")


SCENARIOS = {
    "idle-etcd": idle_etcd, "idle-glide": idle_glide,
    "s1": watch, "s2": puts, "s3": clients, "s4": mixed, "s5": short, "s6": together,
    "many": many, "late": late, "glide-async": glide_async, "glide-both": glide_both,
}


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario")
    parser.add_argument("--etcd")
    parser.add_argument("--valkey", type=int)
    parser.add_argument("--exit-code", type=int, default=0)
    parser.add_argument("--say-when", action="store_true", help="the last line says when it leaves")
    parser.add_argument("--linger", type=float, default=0, help="seconds between the scenario's end and the program's")
    options = parser.parse_args()
    print(json.dumps({"event": "ready", "pid": os.getpid()}), flush=True)
    if options.scenario == "hold":
        time.sleep(3600)
    elif options.scenario == "glide-sync":
        run_sync()
    elif options.scenario == "handler":
        run_handler()
    elif options.scenario.startswith("open-"):
        run_open(SCENARIOS[options.scenario[len("open-"):]])
    else:
        asyncio.run(SCENARIOS[options.scenario]())
    if options.linger:  # time.sleep(0) would let the workers finish first: nothing would be in flight any more
        time.sleep(options.linger)
    if options.say_when:
        print("leaves", time.monotonic_ns(), flush=True)
    sys.exit(options.exit_code)


if __name__ == "__main__":
    main()
