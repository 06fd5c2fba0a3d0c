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

import json
import re
import time
from urllib.parse import parse_qs, urlsplit

from service import Handler, serve

PROJECT = {"id": "p1", "name": "demo", "metadata": {}, "organization": {"id": "o1", "name": "org"}}
# Names that victims give to spans: found in a protobuf without a parser of it.
NAME = re.compile(rb"ev-[a-z0-9]+-[a-z0-9-]+")


class TelemetryHandler(Handler):
    delay_s = 0.0  # of every answer to a POST

    def do_GET(self):
        address = urlsplit(self.path)
        if address.path == "/events":
            self.answer(200, {"events": self.server.store.all()})
        elif address.path == "/slow":
            TelemetryHandler.delay_s = int(parse_qs(address.query)["ms"][0]) / 1000
            self.answer(200, {})
        elif address.path == "/api/public/health":
            self.answer(200, {"status": "OK", "version": "3.0.0"})
        elif address.path == "/api/public/projects":
            self._keep(["get-projects"])
            self.answer(200, {"data": [PROJECT]})
        else:
            self.answer(200, {})

    def do_POST(self):
        body = self.read_body()
        if self.delay_s:
            time.sleep(self.delay_s)
        path = urlsplit(self.path).path
        if path == "/api/public/ingestion":
            events = json.loads(body)["batch"]
            self._keep([event["body"].get("name") for event in events])
            self.answer(207, {"successes": [{"id": event["id"], "status": 201} for event in events], "errors": []})
        elif path == "/api/public/scores":
            scores = json.loads(body)
            scores = scores if isinstance(scores, list) else [scores]
            self._keep([score.get("name") for score in scores])
            self.answer(202, {"id": scores[0].get("id") or "s1", "accepted": len(scores), "rejected": 0, "errors": []})
        elif path.endswith("/v1/traces"):
            self._keep(sorted({name.decode() for name in NAME.findall(body)}))
            self.answer(200, b"", "application/x-protobuf")
        elif path == "/api/public/media":
            media = json.loads(body)["sha256Hash"][:22].replace("/", "_").replace("+", "-")
            host, port = self.server.server_address
            self.answer(201, {"mediaId": media, "uploadUrl": "http://%s:%d/upload/%s" % (host, port, media)})
        elif path.rstrip("/") in ("/batch", "/v1/batch", "/v1/import"):
            self._keep([event.get("event") for event in json.loads(body).get("batch", [])])
            self.answer(200, {"success": True, "status": 1})
        elif "/envelope" in path:
            self._keep(sorted({name.decode() for name in NAME.findall(body)}))
            self.answer(200, {"id": "0" * 32})
        else:
            self.answer(200, {"success": True})

    def do_PUT(self):
        body = self.read_body()
        self._keep(sorted({name.decode() for name in NAME.findall(body)}))
        self.answer(200, {})

    def do_PATCH(self):
        self.read_body()
        self.answer(200, {})

    def _keep(self, names):
        path, port = urlsplit(self.path).path, self.client_address[1]
        self.server.store.add([{"name": name, "path": path, "port": port} for name in names])


if __name__ == "__main__":
    serve(TelemetryHandler, "A loopback stand-in for services of telemetry SDKs.")
