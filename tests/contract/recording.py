"""Converts a recording of the Go command line to the data of its replay: ``python -m tests.contract.recording FILE``.

A call keeps its method, path, body, status and request headers. Ids become names (``$1``, ``$2`` … in order of first
use) in paths, bodies and responses. Of the other values in a response only the types are kept, and of a list only the
first item. The bytes of files are dropped.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NIL = "00000000-0000-0000-0000-000000000000"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\S+Z")
# Headers of the connection, not of the client.
LEFT_OUT = {"Content-Length"}


class Names:
    """Names for ids, in order of first use."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {NIL: NIL}

    def of(self, text: str) -> str:
        """Return the text with ids replaced."""
        return ID.sub(lambda match: self.names.setdefault(match[0], f"${len(self.names)}"), text)

    def within(self, value: Any) -> Any:
        """Return a body with ids replaced."""
        return json.loads(self.of(json.dumps(value)))

    def skeleton(self, value: Any) -> Any:
        """Return the types and named ids of a response."""
        match value:
            case dict():
                return {key: self.skeleton(item) for key, item in value.items()}
            case list():
                return [self.skeleton(item) for item in value[:1]]
            case str() if ID.fullmatch(value) and value != NIL:
                return self.of(value)
            case str() if TIME.fullmatch(value):
                return "time"
            case None:
                return "null"
        return {bool: "boolean", int: "integer", str: "string"}[type(value)]


def answer_in(text: str) -> Any:
    """Return a recorded response. Of a long list, which the recording truncates, return the first item."""
    try:
        return json.loads(text)
    except ValueError:
        if not text.startswith("["):
            raise
        return [json.JSONDecoder().raw_decode(text, 1)[0]]


def convert(lines: list[str]) -> list[dict[str, Any]]:
    """Return the calls in order; a WebSocket includes its close code."""
    names = Names()
    calls: list[dict[str, Any]] = []
    for line in lines:
        row = json.loads(line)
        path = names.of(row["path"])
        if row.get("event", "").startswith("websocket closed"):
            opened = next(call for call in reversed(calls) if call["path"] == path)
            opened["close_code"] = row["close_code"]
            opened["message"] = names.skeleton(json.loads(row["first_messages"][0]))
            continue
        headers = sorted(name for name in row["request_headers"] if name not in LEFT_OUT)
        call = {"method": row.get("method", "WEBSOCKET"), "path": path, "headers": headers, "status": row["status"]}
        if row.get("request_body"):
            text = row["request_body"]
            call["body"] = "bytes" if text.startswith("<") else names.within(json.loads(text))
        if "response_body" in row:
            text = row["response_body"]
            call["answer"] = "bytes" if text.startswith("<") else names.skeleton(answer_in(text))
        calls.append(call)
    return calls


if __name__ == "__main__":
    calls = convert(Path(sys.argv[1]).read_text().splitlines())
    sys.stdout.write("[\n" + ",\n".join(json.dumps(call) for call in calls) + "\n]\n")
