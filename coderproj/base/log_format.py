"""The log format: one line per record, with escaped control characters and redacted secrets."""

import logging
import re
import time

SECRET_PATTERN = re.compile(r"((?:coder_session_token|password)=)[^&\s\"]+", re.IGNORECASE)
CONTROL_PATTERN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class LineFormatter(logging.Formatter):
    """``2026-01-31T12:00:00Z INFO provisioning.daemon: text``; a traceback follows on its own lines."""

    default_time_format = "%Y-%m-%dT%H:%M:%SZ"
    default_msec_format = ""
    converter = time.gmtime  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - name defined by the base class
        record.message = redact(record.message).replace("\n", "\\n")
        return super().formatMessage(record)


def redact(text: str) -> str:
    """Return ``text`` with session tokens and passwords redacted and control characters escaped."""
    return CONTROL_PATTERN.sub(lambda match: f"\\x{ord(match[0]):02x}", SECRET_PATTERN.sub(r"\1…", text))
