"""How agents and clients find each other: both send their node, an address with keys, and receive those of the other.

Everything runs on the web server's event loop and in memory. Several web processes pass nodes on by notifications.

| module | contents |
| --- | --- |
| `nodes` | nodes as JSON: read from a stream of bytes, checked, packed into messages |
| `rooms` | an agent with its clients, as far as they are connected to this process |
| `presence` | who is connected, in the rows of agents |
| `coordinator` | the service: rooms, notifications, checks of rights |
| `announcements` | announces keys to the relay |
| `relay_rows` | the statements on the table of these keys |
| `sockets` | the WebSockets of agents and clients |
| `polls` | agents that stay connected by requests, such as our own |
"""
