"""The shell that the WSGI victims share: GET /?name=N hands event N over, GET / nothing; both are answered as JSON."""

import json
from urllib.parse import parse_qs


def application_of(hand_over):
    """hand_over(name or None) does the work and says what the answer is."""

    def application(environ, start_response):
        (name,) = parse_qs(environ["QUERY_STRING"]).get("name", [None])
        body = json.dumps(hand_over(name)).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return application
