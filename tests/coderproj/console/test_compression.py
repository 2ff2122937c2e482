"""Pages are compressed. Responses of the API are not: they mix secrets with the input of callers."""

import gzip

import pytest

from tests.factories import make_user
from tests.pages import browser

pytestmark = pytest.mark.django_db
GZIP = {"HTTP_ACCEPT_ENCODING": "gzip"}


def test_page_is_compressed_if_the_client_accepts_it():
    client = browser(make_user(site_roles=("owner",)))
    answer = client.get("/templates", **GZIP)
    assert answer["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer["Vary"]
    assert b"</html>" in gzip.decompress(answer.content)
    assert int(answer["Content-Length"]) == len(answer.content)
    plain = client.get("/templates")
    assert "Content-Encoding" not in plain
    assert len(answer.content) < len(plain.content) / 2


@pytest.mark.parametrize("path", ["/api/v2/openapi.json", "/api/v2/users/me"])
def test_api_is_not_compressed_here(path):
    assert "Content-Encoding" not in browser(make_user()).get(path, **GZIP)
