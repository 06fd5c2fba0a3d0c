"""What the shim wrote: the events of a report directory, as JSON Lines.

Promises: every line is read and checked against the fields that its kind of event must have; what is wrong raises.
"""

import json
from pathlib import Path

COMMON = {"schema": int, "event": str, "time": str, "mono_ns": int, "boot_id": str, "host": str, "pidns_inode": int,
          "process": dict}
PROCESS = {"pid": int, "start_ticks": int, "ppid": int, "generation": int, "argv0": str, "exe": str, "build_id": str}
KINDS: dict[str, dict[str, type]] = {
    "lockup": {"id": str, "fingerprint": str, "verdict": str, "cause": str, "fork": dict, "wait": dict, "lost": list,
               "lost_total": int, "evidence": list, "fixes": list, "runtime": dict, "action": str, "seen": int,
               "truncated": list, "modules": list, "forkmend": dict},
    "off": {"feature": str, "reason": str},
    "drain-missed": {"runtime": str, "waited_ns": int, "allowed_ns": int, "misses": int, "threads": list},
    "lock-opened": {"fork": dict, "object": dict, "when": str, "owner": dict, "modules": list},
    "respawn-failed": {"runtime": str, "errno": int},
    "exit-freed": {"tid": int, "name": str, "kind": str, "object": str, "action": str, "runtime": str},
    "stop-missed": {"runtime": str, "step": str, "waited_ns": int, "allowed_ns": int},
    "not-resumed": {"runtime": str, "thread": str, "tid_in_parent": int, "reason": str},
}
LOST = {"generation": int, "serial": int, "tid_in_parent": int, "name": str, "runtime": str, "dso": str, "creator": str,
        "at_fork": dict, "held": list}


class BadEvent(Exception):
    """A line that is no event: not JSON, or a field is missing or of another type."""


def read(directory: Path) -> list[dict]:
    """All events below the directory, in order of time."""
    events = []
    for path in sorted(directory.glob("*.jsonl")):
        text = path.read_bytes()
        if not text.endswith(b"\n"):
            raise BadEvent("%s: its last line has no end" % path.name)
        for number, line in enumerate(text.splitlines(), 1):
            try:
                event = json.loads(line)
                _check(event)
            except (ValueError, KeyError) as error:
                raise BadEvent("%s:%d: %s in %r" % (path.name, number, error, line[:200])) from None
            events.append(event)
    return sorted(events, key=lambda event: event["mono_ns"])


def _check(event: dict) -> None:
    _check_fields(event, COMMON, "event")
    _check_fields(event["process"], PROCESS, "process")
    if event["schema"] != 1:
        raise ValueError("schema is %r" % event["schema"])
    _check_fields(event, KINDS[event["event"]], event["event"])
    if event["event"] == "lockup":
        for lost in event["lost"]:
            _check_fields(lost, LOST, "lost")
        for evidence in event["evidence"]:
            _check_fields(evidence, {"code": str, "text": str}, "evidence")
        if not event["evidence"]:
            raise ValueError("a verdict without evidence")
        if event["verdict"] not in ("certain", "likely"):
            raise ValueError("verdict is %r" % event["verdict"])


def _check_fields(found: dict, expected: dict, where: str) -> None:
    for name, kind in expected.items():
        if not isinstance(found.get(name), kind):
            raise ValueError("%s.%s is %r, not of type %s" % (where, name, found.get(name), kind.__name__))
