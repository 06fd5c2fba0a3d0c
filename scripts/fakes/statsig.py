#!/usr/bin/env python3
"""A loopback stand-in for the Statsig service.

Promises: specs with one gate, `test_gate`, which is true for everybody; every event of an accepted POST is kept, in
order of arrival, and `GET /events` answers with all of them; the first line on stdout is `{"url": ...}`, written once
the socket listens. Ends when its stdin is closed, so that it never outlives the program which started it.

Does not: check keys, persist anything, or listen anywhere but on the loopback interface.

  GET  /v2/download_config_specs/<key>.json   specs; `has_updates` is false once the client has this version
  POST /v1/get_id_lists                       {}
  POST /v1/log_event                          202, gzip or plain JSON {"events": [...]}
  GET  /events                                {"events": [{"name", "time", "body"}, ...]}
"""

import argparse
import gzip
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SPECS_TIME = 1700000000000
PUBLIC_CONDITION = {
    "type": "public",
    "targetValue": None,
    "operator": None,
    "field": None,
    "additionalValues": {},
    "idType": "userID",
}
TEST_GATE = {
    "type": "feature_gate",
    "entity": "feature_gate",
    "salt": "test_gate",
    "enabled": True,
    "defaultValue": False,
    "idType": "userID",
    "rules": [
        {
            "name": "everybody",
            "id": "everybody",
            "salt": "everybody",
            "passPercentage": 100,
            "returnValue": True,
            "conditions": ["public"],
            "idType": "userID",
        }
    ],
}
SPECS = {
    "has_updates": True,
    "time": SPECS_TIME,
    "feature_gates": {"test_gate": TEST_GATE},
    "dynamic_configs": {},
    "layer_configs": {},
    "condition_map": {"public": PUBLIC_CONDITION},
    "experiment_to_layer": {},
}


class EventStore:
    """What arrived, in order."""

    def __init__(self):
        self._lock = threading.Lock()
        self._events = []

    def add(self, bodies):
        now = time.time()
        with self._lock:
            self._events += [{"name": body.get("eventName"), "time": now, "body": body} for body in bodies]

    def all(self):
        with self._lock:
            return list(self._events)


class StatsigHandler(BaseHTTPRequestHandler):
    # Keep-alive, as the real service has it: a connection shared across a fork would show here.
    protocol_version = "HTTP/1.1"
    # A status line, headers and a body in one segment each would wait 40 ms for a delayed ACK otherwise.
    disable_nagle_algorithm = True

    def do_GET(self):
        address = urlsplit(self.path)
        if address.path == "/events":
            self._answer(200, {"events": self.server.store.all()})
        elif address.path.startswith("/v2/download_config_specs"):
            since = parse_qs(address.query).get("sinceTime", ["0"])[0]
            self._answer(200, {"has_updates": False} if since == str(SPECS_TIME) else SPECS)
        else:
            self._answer(404, {"error": "no such address"})

    def do_POST(self):
        body = self._read_body()
        path = urlsplit(self.path).path
        if path == "/v1/log_event":
            self.server.store.add(json.loads(body)["events"])
            self._answer(202, {"success": True})
        elif path == "/v1/get_id_lists":
            self._answer(200, {})
        else:
            self._answer(404, {"error": "no such address"})

    def log_message(self, *_):
        """Silent: the driver logs what matters."""

    def _read_body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class StatsigService(ThreadingHTTPServer):
    daemon_threads = True
    # Clients of a fork storm connect together; the default of 5 would drop their SYNs.
    request_queue_size = 256

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), StatsigHandler)
        self.store = EventStore()

    def handle_error(self, request, client_address):
        """A client that was killed resets its connections: no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, BrokenPipeError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description="A loopback stand-in for the Statsig service.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    options = parser.parse_args()
    service = StatsigService(options.port)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    print(json.dumps({"url": "http://127.0.0.1:%d" % service.server_address[1]}), flush=True)
    sys.stdin.read()
    service.shutdown()


if __name__ == "__main__":
    main()
