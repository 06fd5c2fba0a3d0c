"""What the loopback stand-ins of services share: the server, its connections, and what arrived.

Promises: listens on the loopback interface alone; the first line on stdout is `{"url": ...}`, written once the socket
listens; ends when its stdin is closed, so that it never outlives the program which started it. Does not: know a service.
"""

import argparse
import gzip
import itertools
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class EventStore:
    """What arrived, in order."""

    def __init__(self):
        self._lock = threading.Lock()
        self._events = []

    def add(self, events):
        with self._lock:
            self._events += events

    def all(self):
        with self._lock:
            return list(self._events)


class Handler(BaseHTTPRequestHandler):
    # Keep-alive, as the real services have it: a connection shared across a fork would show here.
    protocol_version = "HTTP/1.1"
    # A status line, headers and a body in one segment each would wait 40 ms for a delayed ACK otherwise.
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.number = next(self.server.connections)  # not the address: ports are used again within a second

    def log_message(self, *_):
        """Silent: the driver logs what matters."""

    def read_body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    break
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def answer(self, status, document, kind="application/json"):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Service(ThreadingHTTPServer):
    daemon_threads = True
    # Clients of a fork storm connect together; the default of 5 would drop their SYNs.
    request_queue_size = 256

    def __init__(self, port, handler):
        super().__init__(("127.0.0.1", port), handler)
        self.store = EventStore()
        self.connections = itertools.count(1)

    def handle_error(self, request, client_address):
        """A client that was killed resets its connections: no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, BrokenPipeError)):
            super().handle_error(request, client_address)


def serve(handler, description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    service = Service(parser.parse_args().port, handler)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    print(json.dumps({"url": "http://127.0.0.1:%d" % service.server_address[1]}), flush=True)
    sys.stdin.read()
    service.shutdown()
