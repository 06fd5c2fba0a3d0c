#!/usr/bin/env python3
"""A loopback stand-in for the services that Python's telemetry SDKs send to: Langfuse, PostHog, Segment, Sentry.

Promises: every event of an accepted request is kept by its name, in order of arrival, with the client's port; `GET /events`
answers with all of them; the first line on stdout is `{"url": ...}`, written once the socket listens. Ends when its stdin is
closed, so that it never outlives the program which started it.

Does not: check keys, persist anything, or listen anywhere but on the loopback interface.

  POST /api/public/ingestion                207, {"batch": [{"id", "body": {"name"}}, ...]}
  POST /api/public/scores                   202, a score or a list of them (5.0)
  POST /api/public/otel/v1/traces, /v1/traces   200, protobuf; span names are found as text
  POST /api/public/media, PATCH /api/public/media/<id>, PUT /upload/<id>    a media upload
  GET  /api/public/health, /api/public/projects
  POST /batch/, /v1/batch, /v1/import       200, {"batch": [{"event"}, ...]}: PostHog, Segment
  POST /api/<project>/envelope/             200, Sentry: the messages
  GET  /events                              {"events": [{"name", "path", "port"}, ...]}
  GET  /slow?ms=N                           from now on every POST is answered N ms later
"""

import argparse
import gzip
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PROJECT = {"id": "p1", "name": "demo", "metadata": {}, "organization": {"id": "o1", "name": "org"}}
# Names that victims give to spans: found in a protobuf without a parser of it.
NAME = re.compile(rb"ev-[a-z0-9]+-[a-z0-9-]+")


class EventStore:
    """What arrived, in order."""

    def __init__(self):
        self._lock = threading.Lock()
        self._events = []

    def add(self, names, path, port):
        with self._lock:
            self._events += [{"name": name, "path": path, "port": port} for name in names]

    def all(self):
        with self._lock:
            return list(self._events)


class Handler(BaseHTTPRequestHandler):
    # Keep-alive, as the real services have it: a connection shared across a fork would show here.
    protocol_version = "HTTP/1.1"
    # A status line, headers and a body in one segment each would wait 40 ms for a delayed ACK otherwise.
    disable_nagle_algorithm = True

    def do_GET(self):
        address = urlsplit(self.path)
        if address.path == "/events":
            self._answer(200, {"events": self.server.store.all()})
        elif address.path == "/slow":
            self.server.delay_s = int(parse_qs(address.query)["ms"][0]) / 1000
            self._answer(200, {})
        elif address.path == "/api/public/health":
            self._answer(200, {"status": "OK", "version": "3.0.0"})
        elif address.path == "/api/public/projects":
            self._keep(["get-projects"])
            self._answer(200, {"data": [PROJECT]})
        else:
            self._answer(200, {})

    def do_POST(self):
        body = self._read_body()
        if self.server.delay_s:
            time.sleep(self.server.delay_s)
        path = urlsplit(self.path).path
        if path == "/api/public/ingestion":
            events = json.loads(body)["batch"]
            self._keep([event["body"].get("name") for event in events])
            self._answer(207, {"successes": [{"id": event["id"], "status": 201} for event in events], "errors": []})
        elif path == "/api/public/scores":
            scores = json.loads(body)
            scores = scores if isinstance(scores, list) else [scores]
            self._keep([score.get("name") for score in scores])
            self._answer(202, {"id": scores[0].get("id") or "s1", "accepted": len(scores), "rejected": 0, "errors": []})
        elif path.endswith("/v1/traces"):
            self._keep(sorted({name.decode() for name in NAME.findall(body)}))
            self._answer(200, b"", "application/x-protobuf")
        elif path == "/api/public/media":
            media = json.loads(body)["sha256Hash"][:22].replace("/", "_").replace("+", "-")
            host, port = self.server.server_address
            self._answer(201, {"mediaId": media, "uploadUrl": "http://%s:%d/upload/%s" % (host, port, media)})
        elif path.rstrip("/") in ("/batch", "/v1/batch", "/v1/import"):
            self._keep([event.get("event") for event in json.loads(body).get("batch", [])])
            self._answer(200, {"success": True, "status": 1})
        elif "/envelope" in path:
            self._keep(sorted({name.decode() for name in NAME.findall(body)}))
            self._answer(200, {"id": "0" * 32})
        else:
            self._answer(200, {"success": True})

    def do_PUT(self):
        body = self._read_body()
        self._keep(sorted({name.decode() for name in NAME.findall(body)}))
        self._answer(200, {})

    def do_PATCH(self):
        self._read_body()
        self._answer(200, {})

    def log_message(self, *_):
        """Silent: the driver logs what matters."""

    def _keep(self, names):
        self.server.store.add(names, urlsplit(self.path).path, self.client_address[1])

    def _read_body(self):
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

    def _answer(self, status, document, kind="application/json"):
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

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.store = EventStore()
        self.delay_s = 0.0

    def handle_error(self, request, client_address):
        """A client that was killed resets its connections: no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, BrokenPipeError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description="A loopback stand-in for services of telemetry SDKs.")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    options = parser.parse_args()
    service = Service(options.port)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    print(json.dumps({"url": "http://127.0.0.1:%d" % service.server_address[1]}), flush=True)
    sys.stdin.read()
    service.shutdown()


if __name__ == "__main__":
    main()
