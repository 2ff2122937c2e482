"""Rate limits."""

import time
import uuid

import pytest
from django.db import connection
from django.urls import reverse

from coderproj.api import throttling
from coderproj.identity.limits import Counters
from tests.api import ApiClient
from tests.factories import make_organization, make_user
from tests.pages import browser

pytestmark = pytest.mark.django_db

NOW = 1_800_000_000 - 1_800_000_000 % 60


class Clock:
    def __init__(self):
        self.now = float(NOW)

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def _fresh_counters():
    throttling.counters.clear()
    yield
    throttling.counters.clear()


@pytest.fixture
def clock():
    return Clock()


def key(name="api"):
    return (name, uuid.UUID(int=1), "/path")


# ---------------------------------------------------------------------- counting
def test_limit_is_hits_per_minute(clock):
    counters = Counters(clock)
    statuses = [counters.hit(key(), 5) for _ in range(7)]
    assert [status.allowed for status in statuses] == [True] * 5 + [False] * 2
    assert [status.remaining for status in statuses] == [4, 3, 2, 1, 0, 0, 0]
    assert {status.reset for status in statuses} == {NOW + 60}
    assert counters.hit(key("other"), 5).allowed


def test_window_slides(clock):
    counters = Counters(clock)
    for _ in range(60):
        counters.hit(key(), 60)
    clock.now += 60 + 30  # half of the previous minute still counts
    allowed = sum(counters.hit(key(), 60).allowed for _ in range(60))
    assert allowed == 30
    clock.now += 120
    assert counters.hit(key(), 60).remaining == 59


def test_processes_share_an_exact_limit(clock):
    processes = [Counters(clock) for _ in range(3)]
    allowed = sum(processes[number % 3].hit(key(), 10).allowed for number in range(60))
    assert allowed == 10
    clock.now += 75
    new_process = Counters(clock)
    assert sum(new_process.hit(key(), 10).allowed for _ in range(20)) <= 10


def test_processes_that_report_rarely_exceed_the_limit_only_slightly(clock):
    processes = [Counters(clock) for _ in range(4)]
    allowed = sum(processes[number % 4].hit(key(), 512, report_every=32).allowed for number in range(4_000))
    assert 512 <= allowed <= 512 + 3 * 32


def test_most_hits_need_no_query(clock, django_assert_num_queries):
    counters = Counters(clock)
    counters.hit(key("first"), 512)
    with django_assert_num_queries(3):
        for _ in range(100):
            counters.hit(key(), 512, report_every=32)


def test_old_counters_are_removed(clock):
    counters = Counters(clock)
    for _ in range(4):
        counters.hit(key(), 5)
        clock.now += 60
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM identity_rate")
        assert cursor.fetchone()[0] <= 3


# ---------------------------------------------------------------------- over HTTP
def test_responses_have_rate_limit_headers(settings):
    settings.RATELIMIT_API = 3
    api = ApiClient(make_user())
    answers = [api.get("users/me") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
    rejected = answers[-1]
    assert list(rejected.body) == ["message"]
    reset = int(rejected.headers["X-RateLimit-Reset"])
    assert reset == time.time() // 60 * 60 + 60 or reset == time.time() // 60 * 60  # the minute can have ended just now
    assert abs(int(rejected.headers["Retry-After"]) - max(reset - time.time(), 1)) <= 3
    # Other paths and other users have their own counters.
    assert api.get("organizations").status_code == 200
    assert ApiClient(make_user()).get("users/me").status_code == 200


def test_no_headers_without_a_limit():
    answer = ApiClient(make_user()).get("users/me")
    assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


@pytest.mark.parametrize("path", ["users/me", "no/such/route", "buildinfo"])
def test_requests_without_a_token_count_by_address(settings, path):
    settings.RATELIMIT_API = 3
    api = ApiClient()
    statuses = [api.get(path).status_code for _ in range(5)]
    assert statuses[3:] == [429, 429]
    assert api.get(path, REMOTE_ADDR="192.0.2.7").status_code == statuses[0]


def test_ipv6_addresses_of_one_network_share_a_limit(settings):
    settings.RATELIMIT_API = 2
    api = ApiClient()
    statuses = [api.get("buildinfo", REMOTE_ADDR=f"2001:db8::{number}").status_code for number in range(1, 4)]
    assert statuses == [200, 200, 429]
    assert api.get("buildinfo", REMOTE_ADDR="2001:db8:0:1::1").status_code == 200


def test_only_owners_bypass_the_limits(settings):
    settings.RATELIMIT_API = 2
    bypass = {"HTTP_X_CODER_BYPASS_RATELIMIT": "true"}
    owner = ApiClient(make_user(site_roles=("owner",)))
    assert {owner.get("users/me", **bypass).status_code for _ in range(5)} == {200}
    for user in (make_user(), make_user(site_roles=("user-admin",))):
        answer = ApiClient(user).get("users/me", **bypass)
        assert (answer.status_code, list(answer.body)) == (428, ["message"])
    assert [ApiClient().get("buildinfo", **bypass).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.promise("S8")
def test_password_guessing_is_limited(settings, measured):
    settings.RATELIMIT_LOGIN = 60
    make_user("ada")
    statuses = []
    while 429 not in statuses and len(statuses) < 150:
        guess = {"email": f"{'ada' if len(statuses) % 2 else 'eve'}@example.test", "password": f"guess {len(statuses)}"}
        statuses.append(ApiClient().post("users/login", guess).status_code)
    measured.most("tries", len(statuses))
    assert (set(statuses[:-1]), statuses[-1], len(statuses)) == ({401}, 429, 61)
    right = {"email": "ada@example.test", "password": "correct horse battery"}
    assert ApiClient().post("users/login", right).status_code == 429
    assert ApiClient().post("users/login", right, REMOTE_ADDR="192.0.2.7").status_code == 201


def test_wrong_passwords_are_slowed_per_account_from_all_addresses(settings, client):
    settings.RATELIMIT_ACCOUNT = 3
    user, other = make_user("ada"), make_user("eve")
    session = ApiClient(user)

    def attempt(number, password="wrong", email=user.email):
        return ApiClient().post("users/login", {"email": email, "password": password}, REMOTE_ADDR=f"192.0.2.{number}")

    right = "correct horse battery"
    assert [attempt(number, right).status_code for number in range(9)] == [201] * 9  # only wrong ones count
    assert [attempt(number).status_code for number in range(5)] == [401, 401, 401, 429, 429]
    answer = attempt(9, right, "ADA@example.test")
    assert (answer.status_code, 1 <= int(answer.headers["Retry-After"]) <= 61) == (429, True)
    page = client.post(reverse("sign-in"), {"email": user.email, "password": right}, REMOTE_ADDR="192.0.2.99")
    assert page.status_code == 429
    assert session.get("users/me").status_code == 200  # a session goes on
    assert attempt(1, right, other.email).status_code == 201


def test_unknown_accounts_are_slowed_alike(settings):
    settings.RATELIMIT_ACCOUNT = 3
    make_user("ada")
    answers = {
        name: [
            ApiClient().post("users/login", {"email": f"{name}@example.test", "password": "x"}).status_code
            for _ in range(4)
        ]
        for name in ("ada", "nobody")
    }
    assert answers["ada"] == answers["nobody"] == [401, 401, 401, 429]


def test_a_password_can_be_changed_while_others_guess_it(settings):
    settings.RATELIMIT_ACCOUNT = 2
    user = make_user("ada")
    window = browser(user)
    for _ in range(3):
        ApiClient().post("users/login", {"email": user.email, "password": "wrong"})
    given = {"old_password": "correct horse battery", "password": "a new long password"}
    assert window.post("/account", given).status_code == 302
    assert window.get("/account").status_code == 200


def test_pages_and_the_api_share_the_login_limit(settings, client):
    settings.RATELIMIT_LOGIN = 3
    user = make_user("ada", site_roles=("owner",))
    page, right = reverse("sign-in"), {"email": user.email, "password": "correct horse battery"}
    for _ in range(3):
        client.post(page, {**right, "password": "wrong"})
    assert client.post(page, right).status_code == 429
    assert ApiClient().post("users/login", right).status_code == 429
    settings.RATELIMIT_LOGIN = 0
    assert client.post(page, right).status_code == 302


def test_guessing_the_old_password_is_limited(settings):
    settings.RATELIMIT_LOGIN = 3
    api = ApiClient(make_user())
    body = {"old_password": "guess", "password": "a new long password"}
    assert [api.put("users/me/password", body).status_code for _ in range(4)] == [400, 400, 400, 429]


def test_uploads_have_their_own_limit(settings):
    settings.RATELIMIT_API, settings.RATELIMIT_UPLOADS = 512, 2
    api = ApiClient(make_user(organizations=(make_organization(),)))
    answers = [api.call("POST", "files", raw=bytes(1024), content_type="application/x-tar") for _ in range(3)]
    assert [answer.status_code for answer in answers][2] == 429
    assert answers[0].headers["X-RateLimit-Limit"] == "2"
    assert api.get("users/me").status_code == 200


# ---------------------------------------------------------------------- memory
@pytest.mark.promise("A16")
def test_the_number_of_counters_is_bounded(clock, monkeypatch):
    monkeypatch.setattr("coderproj.identity.limits.MAX_COUNTS", 100)
    counters = Counters(clock)
    for number in range(1_000):
        counters.hit(("api", uuid.UUID(int=number), "/path"), 1_000, report_every=100)
    assert len(counters._counts) == 100
    assert counters.hit(("api", uuid.UUID(int=999), "/path"), 1_000, report_every=100).remaining == 998


@pytest.mark.promise("A16")
def test_unknown_paths_are_counted_together(settings, client):
    settings.RATELIMIT_API = 5
    statuses = [client.get(f"/api/v2/unknown/{'x' * number * 300}").status_code for number in range(7)]
    assert statuses == [404] * 5 + [429] * 2


@pytest.mark.promise("A16")
def test_long_paths_are_counted_by_their_hash(settings):
    settings.RATELIMIT_API = 5
    api = ApiClient(make_user())
    paths = [f"templates/{letter * 5_000}" for letter in "ab"]
    assert [api.get(path).status_code for path in paths for _ in range(6)] == ([400] * 5 + [429]) * 2
    assert all(len(path) < 200 for _, _, path in throttling.counters._counts)
