"""The services of this package that each web process runs."""

from templates_app.agents.coordination.announcements import Announcer
from templates_app.agents.coordination.coordinator import Coordinator
from templates_app.agents.coordination.polls import Polls

STREAM_SERVICES = [Coordinator, Announcer, Polls]
