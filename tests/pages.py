"""Looking at pages from tests, through Django's handler, as a given user."""

import re
from html.parser import HTMLParser

from django.http import HttpResponse
from django.test import Client

from coderproj.identity import tokens
from coderproj.identity.authentication import SESSION_COOKIE
from coderproj.identity.models import User


def sign_in(client: Client, user: User) -> Client:
    """Let the client carry a session of the user, as a browser would."""
    _, token = tokens.issue(user=user)
    client.cookies[SESSION_COOKIE] = token
    return client


def browser(user: User | None = None) -> Client:
    """A client that keeps cookies and sends no forged forms; signed in as the user."""
    client = Client()
    return sign_in(client, user) if user else client


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(response: HttpResponse) -> str:
    """What a page says, without markup and with single blanks."""
    parser = _Text()
    parser.feed(response.content.decode())
    return re.sub(r"\s+", " ", " ".join(parser.parts)).strip()
