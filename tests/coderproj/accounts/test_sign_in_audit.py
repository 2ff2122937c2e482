"""Sign-ins, failed ones and sign-outs are in the audit log, whose rows about failed ones are bounded."""

import pytest

from coderproj.identity import audit
from coderproj.identity.models import AuditLog
from tests.api import ApiClient
from tests.factories import make_user
from tests.pages import browser

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def by_api(email, password):
    return ApiClient().post("users/login", {"email": email, "password": password}, REMOTE_ADDR="192.0.2.9")


def by_page(email, password):
    return browser().post("/login", {"email": email, "password": password}, REMOTE_ADDR="192.0.2.9")


def rows():
    return list(AuditLog.objects.order_by("time").values_list("action", "status_code", "username", "ip"))


@pytest.mark.parametrize("sign_in", [by_api, by_page])
def test_sign_ins_are_recorded_with_address_and_result(sign_in):
    user = make_user("ada")
    sign_in(user.email, PASSWORD)
    sign_in(user.email, "wrong")
    sign_in("nobody@example.test", "wrong")
    assert rows() == [
        ("login", 201, "ada", "192.0.2.9"),
        ("login", 401, "ada", "192.0.2.9"),
        ("login", 401, "", "192.0.2.9"),
    ]
    text = str(list(AuditLog.objects.values()))
    assert "nobody" not in text
    assert "wrong" not in text


@pytest.mark.parametrize("state", [{"status": "suspended"}, {"deleted": True}])
def test_right_password_of_an_inactive_user_is_recorded_as_failed(state):
    user = make_user("ada", **state)
    assert by_api(user.email, PASSWORD).status_code == 401
    assert [row[:2] for row in rows()] == [("login", 401)]


def test_sign_outs_are_recorded():
    user = make_user("ada", site_roles=("owner",))
    for path in ("/logout", "/admin/logout/"):
        assert browser(user).post(path).status_code == 302
    ApiClient(user).post("users/logout")
    assert [row[:3] for row in rows()] == [("logout", 200, "ada")] * 3


def test_failed_sign_ins_are_in_the_api_for_those_who_read_the_log():
    user, owner = make_user("ada"), make_user("olga", site_roles=("owner",))
    by_api(user.email, "wrong")
    by_api("nobody@example.test", "wrong")
    unknown, known = ApiClient(owner).get("audit?action=login&status_code=401").body["audit_logs"]
    assert known["user"]["username"] == "ada"
    assert known["description"] == "{user} unsuccessfully attempted: logged in with api key {target}"
    assert (unknown["user"], unknown["resource_target"]) == (None, "unknown account")
    assert browser(owner).get("/audit").status_code == 200
    assert ApiClient(user).get("audit").status_code == 404


def test_rows_of_one_account_are_bounded(monkeypatch):
    monkeypatch.setattr(audit, "FAILED_PER_ACCOUNT", 3)
    users = [make_user(), make_user()]
    for email in [*(user.email for user in users), "a@example.test", "b@example.test"]:
        for _ in range(5):
            by_api(email, "wrong")
    assert [AuditLog.objects.filter(user_id=user.pk).count() for user in users] == [3, 3]
    assert AuditLog.objects.filter(user_id=None).count() == 3  # all unknown accounts together


def test_rows_of_all_accounts_are_bounded(monkeypatch):
    monkeypatch.setattr(audit, "FAILED_PER_HOUR", 4)
    for _ in range(6):
        by_api(make_user().email, "wrong")
    assert AuditLog.objects.count() == 4


def test_the_oldest_rows_give_way(monkeypatch):
    monkeypatch.setattr(audit, "FAILED_KEPT", 3)
    users = [make_user() for _ in range(5)]
    by_api(users[0].email, PASSWORD)
    for user in users:
        by_api(user.email, "wrong")
    failed = AuditLog.objects.filter(status_code=401).values_list("user_id", flat=True)
    assert set(failed) == {user.pk for user in users[2:]}
    assert AuditLog.objects.filter(status_code=201).count() == 1
