"""The keys that may use the relay."""

from django.db import models

KEY_BYTES = 32


class RelayPeer(models.Model):
    """The key of a node, which an agent or a user has announced for connections to the agent. ``owner_id`` is the agent
    itself or the user; of several owners of one key, the first row counts.

    ``socket`` is the WebSocket that it was announced on, in the web process with the number ``served_by``. After the
    socket has ended, the row counts until ``expires_at``. Rows are as short-lived as sockets, so they have no foreign
    keys, and only the coordinator and the relay write them, in SQL.
    """

    agent_id = models.UUIDField()
    owner_id = models.UUIDField()
    key = models.BinaryField(max_length=KEY_BYTES)
    socket = models.CharField(max_length=32, db_index=True)
    served_by = models.IntegerField(db_index=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agent_id", "owner_id", "key"], name="agents_relaypeer_unique"),
        ]

    def __str__(self) -> str:
        return f"{bytes(self.key).hex()} of {self.owner_id}"
