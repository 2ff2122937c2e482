"""The first user of ``manage.py up``, and the file with the initial password."""

import stat

import pytest

from coderproj.identity import services
from coderproj.identity.actor import Actor, Client
from coderproj.identity.models import User
from coderproj.identity.users import change_password
from coderproj.management import first_user, prepared_server
from tests.factories import make_user

pytestmark = pytest.mark.django_db

GIVEN = "correct horse battery"


@pytest.fixture(autouse=True)
def data_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    settings.ADMIN_EMAIL = settings.ADMIN_PASSWORD = ""


def signs_in(email: str, password: str) -> bool:
    try:
        services.log_in(email=email, password=password, client=Client(ip="127.0.0.1"))
    except services.WrongCredentials:
        return False
    return True


def initial_password() -> str:
    return first_user.password_file().read_text().strip()


def test_generated_password_stays_in_its_file_until_it_is_changed():
    (line,) = first_user.set_up()
    assert str(first_user.password_file()) in line
    assert initial_password() not in line
    assert stat.S_IMODE(first_user.password_file().stat().st_mode) == 0o600
    for _ in range(2):
        assert first_user.set_up() == [line]
        assert signs_in("admin@example.com", initial_password())
    user = User.objects.get()
    change_password(Actor.of(user), user, password="my own password", old_password=None)
    assert first_user.set_up() == []
    assert not first_user.password_file().exists()
    assert signs_in("admin@example.com", "my own password")


def test_generated_password_is_checked_once(monkeypatch):
    first_user.set_up()
    lines = first_user.set_up()
    with monkeypatch.context() as patched:
        patched.setattr(User, "check_password", None)
        assert first_user.set_up() == lines
    assert stat.S_IMODE(first_user.checked_file().stat().st_mode) == 0o600
    user = User.objects.get()
    change_password(Actor.of(user), user, password="my own password", old_password=None)
    assert first_user.set_up() == []
    assert not first_user.checked_file().exists()


@pytest.mark.parametrize("email", ["", "ada@example.test"])
def test_settings_of_a_later_start_replace_the_initial_password(settings, email):
    first_user.set_up()
    settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD = email, GIVEN
    shown = email or "admin@example.com"
    assert shown in first_user.set_up()[-1]
    assert signs_in(shown, GIVEN)
    assert not first_user.password_file().exists()
    assert first_user.set_up() == []


def test_settings_do_not_replace_a_password_that_was_changed_and_say_so(settings):
    first_user.set_up()
    user = User.objects.get()
    change_password(Actor.of(user), user, password="my own password", old_password=None)
    settings.ADMIN_PASSWORD = GIVEN
    (line,) = first_user.set_up()
    assert "CODERPROJ_ADMIN_PASSWORD is not used" in line
    assert "manage.py users password admin" in line
    assert GIVEN not in line
    assert signs_in("admin@example.com", "my own password")
    settings.ADMIN_EMAIL = "ada@example.test"
    assert "CODERPROJ_ADMIN_EMAIL is not used" in first_user.set_up()[0]
    make_user("ada")
    assert [line for line in first_user.set_up() if "CODERPROJ_ADMIN_EMAIL" in line] == []


def test_settings_that_name_another_user_change_neither(settings):
    first_user.set_up()
    other = make_user("ada")
    settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD = "ADA@example.test", "another password"
    (line,) = first_user.set_up()
    assert f"manage.py users password {other.username}" in line
    assert signs_in("admin@example.com", initial_password())
    assert not signs_in("ada@example.test", "another password")


def test_password_from_the_settings_is_in_no_file(settings):
    settings.ADMIN_PASSWORD = GIVEN
    (line,) = first_user.set_up()
    assert GIVEN not in line
    assert signs_in("admin@example.com", GIVEN)
    assert not first_user.password_file().exists()


@pytest.mark.parametrize(
    ("email", "password", "named"),
    [
        ("ada", GIVEN, "CODERPROJ_ADMIN_EMAIL: 'ada' is not an email address"),
        ("a b@example.test", "", "CODERPROJ_ADMIN_EMAIL"),
        ("", "short", "password: "),
    ],
)
def test_invalid_settings_are_named(settings, email, password, named):
    settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD = email, password
    with pytest.raises(prepared_server.PreparationFailed, match=named):
        prepared_server.first_user()
    assert not User.objects.exists()


def test_hint_says_how_to_sign_in(settings):
    assert first_user.hint() == ""
    first_user.set_up()
    assert str(first_user.password_file()) in first_user.hint()
    settings.ADMIN_PASSWORD = GIVEN
    first_user.set_up()
    assert first_user.hint() == "sign in as admin@example.com with your password"
