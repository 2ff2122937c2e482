"""A second web server for tests of the relay."""

from tests.templates_app.agents.test_coordination import other, second_server  # noqa: F401 - fixtures
