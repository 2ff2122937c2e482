"""Regular expressions in templates, which are written for Go (RE2 syntax) and run by Python.

Differences that templates use are translated. Other differences and invalid patterns are rejected.
"""

import re
import warnings
from typing import Final

_POSIX_CLASSES: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_TOKEN: Final = re.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|\Z)"
    r"|(?P<escape>\\.)"
    r"|\[:(?P<posix>\w+):\]"
    r"|(?P<open>\[\^?\]?)"
    r"|(?P<close>\])"
    r"|(?P<foreign>\(\?(?:[=!>(#]|<[=!]|P=))"
    r"|(?P<named>\(\?<)"
    r"|(?P<flags>\(\?[a-zA-Z]*m[a-zA-Z]*[:)-])"
    r"|(?P<end>\$)"
    r"|(?P<other>.)",
    re.DOTALL,
)


def compile_pattern(source: str) -> re.Pattern[str]:
    """Compile an RE2 pattern. Use ``search``, like Go's ``MatchString``. Raises ValueError for an invalid pattern."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(_translated(source), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _translated(source: str) -> str:
    parts: list[str] = []
    in_class = multi_line = False
    for token in _TOKEN.finditer(source):
        kind, text = token.lastgroup, token[0]
        if kind == "quoted":
            text = re.escape(token["quoted"])
        elif kind == "escape":
            if text[1] in "123456789" and not in_class:
                raise ValueError(f"back references are not supported: {text}")
            text = r"\Z" if text == r"\z" and not in_class else text
        elif kind == "foreign" and not in_class:
            raise ValueError(f"look-around and other Perl extensions are not supported: {text}")
        elif kind == "posix":
            text = _POSIX_CLASSES.get(token["posix"], text) if in_class else text
        elif kind == "open":
            # In a class an opening bracket is literal, and so is a "]" directly after the class's opening bracket.
            text = text.replace("[", r"\[") if in_class else text
            in_class = not (in_class and text.endswith("]"))
        elif kind == "close":
            in_class = False
        elif kind == "flags":
            multi_line = multi_line or not in_class
        elif kind == "named":
            text = text if in_class else "(?P<"
        elif kind == "end" and not in_class and not multi_line:
            # Python's "$" also matches before a trailing newline, Go's does not.
            text = r"\Z"
        parts.append(text)
    return "".join(parts)
