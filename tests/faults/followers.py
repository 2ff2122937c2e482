"""Followers of jobs. Each reconnects after every fault until it has read the whole log."""

import json
import threading
import time

import httpx

RETRY_SECONDS = 0.2


class Follower(threading.Thread):
    """Follows one import's log as server-sent events and resumes after the last line that it received."""

    def __init__(self, url: str, token: str, version_id: str) -> None:
        super().__init__(daemon=True)
        self.url = f"{url}/api/v2/templateversions/{version_id}/logs"
        self.headers = {"Coder-Session-Token": token, "Accept": "text/event-stream"}
        self.ids: list[int] = []
        self.ended = False
        self.given_up = False

    def run(self) -> None:
        while not self.ended and not self.given_up:
            try:
                self._follow()
            except (httpx.HTTPError, OSError):
                time.sleep(RETRY_SECONDS)

    def _follow(self) -> None:
        headers = dict(self.headers)
        if self.ids:
            headers["Last-Event-ID"] = str(self.ids[-1])
        timeout = httpx.Timeout(5, read=30)
        with httpx.stream("GET", self.url, params={"follow": "1"}, headers=headers, timeout=timeout) as response:
            if response.status_code != 200:
                time.sleep(RETRY_SECONDS)
                return
            for line in response.iter_lines():
                if line == "event: end":
                    self.ended = True
                    return
                if line.startswith("data: {"):
                    self.ids.append(json.loads(line.removeprefix("data: "))["id"])
