"""URLs of servers, and the caller's address of a request."""

import ipaddress

import pytest

from coderproj.identity.models import AuditLog
from coderproj.web import addresses
from coderproj.web.environ import build_environ
from tests.api import ApiClient
from tests.factories import make_user

PROXIES = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("host", "local", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", "http://localhost:80"),
        ("0.0.0.0", "http://127.0.0.1:80", "http://localhost:80"),
        ("::", "http://[::1]:80", "http://localhost:80"),
        ("::1", "http://[::1]:80", "http://localhost:80"),
        ("192.0.2.7", "http://192.0.2.7:80", "http://192.0.2.7:80"),
        ("2001:db8::1", "http://[2001:db8::1]:80", "http://[2001:db8::1]:80"),
        ("host.example", "http://host.example:80", "http://host.example:80"),
    ],
)
def test_urls_of_listening_addresses(host, local, shown):
    assert (addresses.local_url(host, 80), addresses.shown_url(host, 80)) == (local, shown)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" 203.0.113.9 ", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:DB8::0:9", "2001:db8::9"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("203.0.113.999", None),
        ("1' OR 1=1", None),
        ("203.0.113.9 203.0.113.8", None),
    ],
)
def test_addresses_are_normalized(text, address):
    assert addresses.parse(text) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # not a trusted proxy: its header does not count
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the caller invented the first entry
        ("10.0.0.1", "203.0.113.9, 192.0.2.1", "203.0.113.9"),  # through two proxies
        ("10.0.0.1", "203.0.113.9, 192.0.2.2", "192.0.2.2"),  # not a trusted proxy
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # the proxy itself is the caller
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, garbage", "10.0.0.1"),
        ("10.0.0.1", "garbage, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:dbf::1", "2001:dbf::1"),
        ("", "203.0.113.9", None),
    ],
)
def test_the_caller_is_the_last_address_that_is_not_a_trusted_proxy(peer, forwarded, caller):
    assert addresses.caller(peer, forwarded, PROXIES) == caller


def test_the_header_is_ignored_without_trusted_proxies():
    assert addresses.caller("10.0.0.1", "203.0.113.9", ()) == "10.0.0.1"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("forwarded", "address"), [("203.0.113.9", "203.0.113.9"), ("' OR 1=1 --", "10.0.0.1"), ("x" * 5000, "10.0.0.1")]
)
def test_only_addresses_reach_the_audit_log(settings, forwarded, address):
    settings.TRUSTED_PROXIES = PROXIES
    body = {"email": make_user(password="a good password").email, "password": "a good password"}
    answer = ApiClient().post("users/login", body, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert answer.status_code == 201
    assert AuditLog.objects.get(action="login").ip == address


@pytest.mark.django_db
def test_invented_addresses_do_not_evade_the_login_limit(settings):
    settings.TRUSTED_PROXIES = PROXIES
    settings.RATELIMIT_LOGIN = 2
    body = {"email": "nobody@example.test", "password": "wrong"}
    statuses = [
        ApiClient()
        .post("users/login", body, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=f"nonsense-{number}")
        .status_code
        for number in range(3)
    ]
    assert statuses == [401, 401, 429]


PEERS = [("10.0.0.1", True), ("10.0.0.77", False), ("", False)]


@pytest.mark.parametrize(("peer", "counts"), PEERS)
def test_only_trusted_proxies_can_set_the_forwarded_scheme(settings, peer, counts):
    settings.TRUSTED_PROXIES = (ipaddress.ip_network("10.0.0.1"),)
    scope = {
        "type": "http",
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "headers": [(b"x-forwarded-proto", b"https")],
        "client": (peer, 40000) if peer else None,
    }
    assert ("HTTP_X_FORWARDED_PROTO" in build_environ(scope)) is counts
