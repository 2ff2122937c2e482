"""Browser-like client for tests, which calls Django's handler as a given user."""

import re
from html.parser import HTMLParser

from django.http import HttpResponse
from django.test import Client

from coderproj.identity import tokens
from coderproj.identity.authentication import SESSION_COOKIE
from coderproj.identity.models import User


def sign_in(client: Client, user: User) -> Client:
    """Give the client a session cookie of the user."""
    _, token = tokens.issue(user=user)
    client.cookies[SESSION_COOKIE] = token
    return client


def browser(user: User | None = None) -> Client:
    """Return a client with cookies, signed in as the user."""
    client = Client()
    return sign_in(client, user) if user else client


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(response: HttpResponse) -> str:
    """Return the text of a page without markup and with single spaces."""
    parser = _Text()
    parser.feed(response.content.decode())
    return re.sub(r"\s+", " ", " ".join(parser.parts)).strip()
