"""The search language of lists: words and ``key:value`` pairs; values can be quoted (``name:"my team"``)."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from coderproj.base.errors import Invalid

FIELD = "q"
# A word consists of quoted parts and parts without whitespace or quotes.
WORD = re.compile(r'(?:"[^"]*"|[^\s"])+')
UNCLOSED_QUOTE = 'A double quote (") is not closed.'


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed ``q``: free text, and values by key, all in lower case."""

    text: str
    terms: Mapping[str, str]

    def choices(self, key: str, allowed: Collection[str]) -> list[str]:
        """Return the comma-separated values of a key. Raises Invalid for a value that is not in ``allowed``."""
        values = [value.strip() for value in self.terms.get(key, "").split(",") if value.strip()]
        for value in values:
            if value not in allowed:
                raise Invalid.field(FIELD, f"{key}: {value!r} is not one of {', '.join(sorted(allowed))}.")
        return values


def parse_search(query: str, keys: Collection[str]) -> Search:
    """Parse ``q``. Raises Invalid on ``q`` for an unknown or repeated key, a missing value or an unclosed quote."""
    if "\0" in query:
        raise Invalid.field(FIELD, "Null characters are not allowed.")
    if query.count('"') % 2:
        raise Invalid.field(FIELD, UNCLOSED_QUOTE)
    words: list[str] = []
    terms: dict[str, str] = {}
    for word in WORD.findall(query.lower()):
        key, colon, value = word.partition(":")
        if not colon or '"' in key:
            words.append(_unquoted(word))
            continue
        if key not in keys:
            raise Invalid.field(FIELD, f"{key!r} is not a search key. Use one of {', '.join(sorted(keys))}.")
        if not _unquoted(value):
            raise Invalid.field(FIELD, f"{key}: needs a value.")
        if key in terms:
            raise Invalid.field(FIELD, f"{key}: is given twice.")
        terms[key] = _unquoted(value)
    return Search(" ".join(words), terms)


def _unquoted(text: str) -> str:
    return text.replace('"', "")
