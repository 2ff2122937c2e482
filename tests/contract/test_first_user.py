"""Setup of an empty server."""

from tests.contract.command_line import CommandLine
from tests.contract.sources import PASSWORD


def test_the_first_user_is_created_and_signs_in(live_api):
    cli = CommandLine(live_api.url)
    cli.login_first_user(username="admin", email="admin@example.test", password=PASSWORD)
    assert cli.login_with_token(cli.token) == "admin"
    assert cli.templates_list() == []
    cli.close()
