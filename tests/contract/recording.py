"""Convert a recording of the Go command line to the data of its replay: ``python -m tests.contract.recording FILE``.

A call keeps its method, path, body, status and the names of the sent headers. Ids become names (``$1``, ``$2`` …, in
the order of appearance) in paths, bodies and responses. Other values in responses become types, lists keep their first
item, and the bytes of files are left out.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NIL = "00000000-0000-0000-0000-000000000000"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\S+Z")
# Headers that the connection sends, not the client.
CONNECTION_HEADERS = {"Content-Length"}


class Names:
    """Replaces ids by names, numbered in the order of appearance."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {NIL: NIL}

    def in_text(self, text: str) -> str:
        """Return the text with its ids replaced."""
        return ID.sub(lambda match: self.names.setdefault(match[0], f"${len(self.names)}"), text)

    def in_body(self, value: Any) -> Any:
        """Return a body with its ids replaced."""
        return json.loads(self.in_text(json.dumps(value)))

    def skeleton(self, value: Any) -> Any:
        """Return a response's body with types in place of values, and names in place of ids."""
        match value:
            case dict():
                return {key: self.skeleton(item) for key, item in value.items()}
            case list():
                return [self.skeleton(item) for item in value[:1]]
            case str() if ID.fullmatch(value) and value != NIL:
                return self.in_text(value)
            case str() if TIME.fullmatch(value):
                return "time"
            case None:
                return "null"
        return {bool: "boolean", int: "integer", str: "string"}[type(value)]


def response_body(text: str) -> Any:
    """Return a recorded response's body. The recording truncates long lists: return their first item."""
    try:
        return json.loads(text)
    except ValueError:
        if not text.startswith("["):
            raise
        return [json.JSONDecoder().raw_decode(text, 1)[0]]


def convert(lines: list[str]) -> list[dict[str, Any]]:
    """Return the calls in order. The call that opened a WebSocket also has its close code and first message."""
    names = Names()
    calls: list[dict[str, Any]] = []
    for line in lines:
        row = json.loads(line)
        path = names.in_text(row["path"])
        if row.get("event", "").startswith("websocket closed"):
            opened = next(call for call in reversed(calls) if call["path"] == path)
            opened["close_code"] = row["close_code"]
            opened["message"] = names.skeleton(json.loads(row["first_messages"][0]))
            continue
        headers = sorted(name for name in row["request_headers"] if name not in CONNECTION_HEADERS)
        call = {"method": row.get("method", "WEBSOCKET"), "path": path, "headers": headers, "status": row["status"]}
        if row.get("request_body"):
            text = row["request_body"]
            call["body"] = "bytes" if text.startswith("<") else names.in_body(json.loads(text))
        if "response_body" in row:
            text = row["response_body"]
            call["answer"] = "bytes" if text.startswith("<") else names.skeleton(response_body(text))
        calls.append(call)
    return calls


if __name__ == "__main__":
    calls = convert(Path(sys.argv[1]).read_text().splitlines())
    sys.stdout.write("[\n" + ",\n".join(json.dumps(call) for call in calls) + "\n]\n")
