"""The relay: a process of its own that passes packets between agents and clients who have no route to each other.

It speaks DERP over HTTP (contract, §5C.4). The packets are encrypted by their senders. Only keys that agents and
clients of workspaces have announced in their coordination may connect, and only an agent and its clients reach each
other. No Django is set up here.

| module | contents |
| --- | --- |
| `frames` | the frames on the wire |
| `handshake` | the relay's key, and the two sealed messages of a handshake |
| `peers` | which keys may connect, and whom each may send to |
| `rights` | reads these keys from the database |
| `http_head` | the HTTP request before the frames |
| `queue` | the packets that wait for a receiver |
| `connection` | one connection, from its request to its last frame |
| `server` | all connections: limits, figures, start and stop |
| `command_line` | `manage.py relay` |
"""
