"""The map of relays: empty, because this server relays nothing. Agents and clients in one network find each other."""

from typing import Any

RELAYS: dict[str, Any] = {"Regions": {}}
