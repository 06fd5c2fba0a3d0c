#!/usr/bin/env python3
"""A loopback stand-in for the Statsig service.

Promises: specs with one gate, `test_gate`, which is true for everybody; every event of an accepted POST is kept, in
order of arrival, and `GET /events` answers with all of them; the first line on stdout is `{"url": ...}`, written once
the socket listens. Ends when its stdin is closed, so that it never outlives the program which started it.

Does not: check keys, persist anything, or listen anywhere but on the loopback interface.

  GET  /v2/download_config_specs/<key>.json   specs; `has_updates` is false once the client has this version
  POST /v1/get_id_lists                       {}
  POST /v1/log_event                          202, gzip or plain JSON {"events": [...]}
  GET  /events                                {"events": [{"name", "time", "connection", "body"}, ...]}
"""

import json
import time
from urllib.parse import parse_qs, urlsplit

from service import Handler, serve

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


class StatsigHandler(Handler):
    def do_GET(self):
        address = urlsplit(self.path)
        if address.path == "/events":
            self.answer(200, {"events": self.server.store.all()})
        elif address.path.startswith("/v2/download_config_specs"):
            since = parse_qs(address.query).get("sinceTime", ["0"])[0]
            self.answer(200, {"has_updates": False} if since == str(SPECS_TIME) else SPECS)
        else:
            self.answer(404, {"error": "no such address"})

    def do_POST(self):
        body = self.read_body()
        path = urlsplit(self.path).path
        if path == "/v1/log_event":
            now = time.time()
            self.server.store.add(
                [{"name": event.get("eventName"), "time": now, "connection": self.number, "body": event}
                 for event in json.loads(body)["events"]])
            self.answer(202, {"success": True})
        elif path == "/v1/get_id_lists":
            self.answer(200, {})
        else:
            self.answer(404, {"error": "no such address"})


if __name__ == "__main__":
    serve(StatsigHandler, "A loopback stand-in for the Statsig service.")
