"""The map of relays: one region with our relay if the deployment has one (decision 17), else none. Without a relay,
agents and clients in one network still find each other."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

# Numbers from 900 to 999 are free for private use.
REGION = 900
NO_STUN = -1
SECURE_PORT, PLAIN_PORT = 443, 80


def relay_map() -> dict[str, Any]:
    """Return the map for agents and clients. All of them use it as it is: the relay has an address of its own."""
    if not settings.RELAY_URL:
        return {"Regions": {}}
    parts = urlsplit(settings.RELAY_URL)
    is_plain = parts.scheme == "http"
    node: dict[str, Any] = {
        "Name": f"{REGION}a",
        "RegionID": REGION,
        "HostName": parts.hostname,
        "DERPPort": parts.port or (PLAIN_PORT if is_plain else SECURE_PORT),
        "STUNPort": NO_STUN,
    }
    if is_plain:
        node["ForceHTTP"] = True
    region = {
        "EmbeddedRelay": False,
        "RegionID": REGION,
        "RegionCode": "relay",
        "RegionName": "Relay",
        "Nodes": [node],
    }
    return {"Regions": {str(REGION): region}}
