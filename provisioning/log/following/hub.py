"""The log followers of this process, and the daemons that wait for jobs."""

import asyncio
import logging
import random
import uuid
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import ClassVar

from django.conf import settings

from coderproj.base.errors import TooManyRequests
from provisioning.log.following.batches import Batch
from provisioning.log.following.listener import listen
from provisioning.log.following.store import Store, conninfo
from provisioning.log.following.waiters import Waiters
from provisioning.notifications import JOB_CHANNEL, LOG_CHANNEL

logger = logging.getLogger(__name__)

# Bytes of lines queued for one follower; a follower that falls further behind reads the table again.
QUEUE_BYTES = 512 * 1024
# Seconds after which a followed job is read again when no notification arrives.
POLL_SECONDS = 5.0


class Hub:
    """The process's listener, tailers and followers. Create, ``start`` and ``stop`` it on one event loop."""

    key: ClassVar[str] = "log_hub"

    def __init__(self, conninfo: str, *, streams_per_user: int, poll_seconds: float = POLL_SECONDS) -> None:
        self.store = Store(conninfo)
        self.stopping = asyncio.Event()
        self.waiters = Waiters(self.store, self.stopping)
        self._conninfo = conninfo
        self._poll_seconds = poll_seconds
        self._streams_per_user = streams_per_user
        self._streams: Counter[uuid.UUID] = Counter()
        self._topics: dict[str, Topic] = {}
        self._listener: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return self._streams.total()

    async def start(self) -> None:
        await self.store.open()
        self._listener = asyncio.create_task(
            listen(
                self._conninfo,
                {LOG_CHANNEL: self._wake, JOB_CHANNEL: self.waiters.wake},
                connected=self._wake_all,
            )
        )

    async def end_streams(self, timeout: float) -> None:
        """Make every stream end; return when all have, or after ``timeout`` seconds."""
        self.stopping.set()
        for topic in self._topics.values():
            topic.wake_followers()
        self.waiters.wake_all()
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d streams did not end in time", self.streams)

    async def stop(self) -> None:
        await self.end_streams(0)
        tasks = [topic.task for topic in self._topics.values()]
        if self._listener is not None:
            tasks.append(self._listener)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.close()

    @contextmanager
    def stream_of(self, user_id: uuid.UUID) -> Iterator[None]:
        """Count a stream of the user while the block runs. Raises TooManyRequests when the user is at the limit."""
        if self._streams[user_id] >= self._streams_per_user:
            raise TooManyRequests(f"You have {self._streams_per_user} open streams. Close one of them first.")
        self._streams[user_id] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._streams[user_id] -= 1
            if not self._streams[user_id]:
                del self._streams[user_id]
            if not self._streams:
                self._idle.set()

    async def follow(self, job_id: uuid.UUID, after: int, follower: "Follower") -> AsyncGenerator[Batch | None]:
        """Yield every line of the job after ``after``, once and in order; end with the job, or early when ``stopping``.

        Yields None when ``follower``, which must be new, was nudged while it waited. The iterator ends only after the
        job's final state was committed. Close the iterator to stop early. Raises LogUnreadable, and errors of reads.
        """
        topic = self._topics.get(str(job_id))
        if topic is None:
            topic = self._topics[str(job_id)] = Topic(job_id, self.store, self._poll_seconds)
        topic.followers.add(follower)
        try:
            # Read the table only after the tailer has set the line from which it publishes, or a line could be missed.
            await topic.ready.wait()
            while not self.stopping.is_set():
                ended = topic.ended
                follower.start_over()
                while batches := await self.store.page(job_id, after):
                    for batch in batches:
                        if self.stopping.is_set():
                            return
                        after = batch.last
                        yield batch
                if ended:
                    topic.raise_failure()
                    return
                while published := await follower.take(topic, self.stopping):
                    if published is NUDGE:
                        yield None
                        continue
                    rest = published.after(after)
                    if rest is None:
                        continue
                    if rest.first > after + 1:
                        break  # lines in between are missing: read them from the table
                    after = rest.last
                    yield rest
        finally:
            topic.followers.discard(follower)
            if not topic.followers and self._topics.get(str(job_id)) is topic:
                del self._topics[str(job_id)]
                topic.task.cancel()

    def _wake(self, payload: str) -> None:
        topic = self._topics.get(payload.partition(":")[0])
        if topic is not None:
            topic.wake.set()

    def _wake_all(self) -> None:
        for topic in self._topics.values():
            topic.wake.set()
        self.waiters.wake_all()


class LogUnreadable(Exception):
    """The database refuses to read a followed log. Streams break off instead of ending as with the job."""


class Topic:
    """A followed job: its tailer reads each new line once and passes it to all followers.

    ``ended``: there is nothing to wait for, because the job has ended or, with ``failed``, because its log cannot be
    read.
    """

    def __init__(self, job_id: uuid.UUID, store: Store, poll_seconds: float) -> None:
        self.job_id = job_id
        self.followers: set[Follower] = set()
        self.wake = asyncio.Event()
        self.ready = asyncio.Event()
        self.ended = False
        self.failed = False
        self._store = store
        self._poll_seconds = poll_seconds
        self.task = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        try:
            await self._tail()
        except Exception:
            logger.exception("The log of job %s cannot be followed", self.job_id)
            self.failed = self.ended = True
            self.ready.set()
            self.wake_followers()

    async def _tail(self) -> None:
        last, self.ended = await self._store.position(self.job_id)
        self.ready.set()
        while not self.ended:
            await self._woken()
            tail = await self._store.tail(self.job_id, last)
            for batch in tail.batches:
                last = batch.last
                for follower in self.followers:
                    follower.put(batch)
            if tail.full:
                self.wake.set()
            self.ended = tail.ended
        self.wake_followers()

    async def _woken(self) -> None:
        """Wait for a notification, but not forever: one may have been lost with a connection."""
        try:
            async with asyncio.timeout(self._poll_seconds * random.uniform(0.8, 1.2)):  # noqa: S311 - spreads load
                await self.wake.wait()
        except TimeoutError:
            pass
        self.wake.clear()

    def raise_failure(self) -> None:
        """Raise LogUnreadable if the log could not be read."""
        if self.failed:
            raise LogUnreadable(f"The log of job {self.job_id} cannot be read.")

    def wake_followers(self) -> None:
        for follower in self.followers:
            follower.event.set()


# Returned by ``Follower.take`` after a nudge.
NUDGE = Batch([0], [b""])


class Follower:
    """The queue between a tailer and one stream."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._queue: deque[Batch] = deque()
        self._size = 0
        self._lagging = False
        self._is_nudged = False

    def nudge(self) -> None:
        """End a wait for lines, if there is one."""
        if not self._queue:
            self._is_nudged = True
            self.event.set()

    def put(self, batch: Batch) -> None:
        """Queue a batch or, when the queue is full, mark the follower as lagging: it must read the table."""
        if self._lagging or (self._queue and self._size + batch.size > QUEUE_BYTES):
            self._lagging = True  # nothing may be queued after a gap
        else:
            self._queue.append(batch)
            self._size += batch.size
        self.event.set()

    def start_over(self) -> None:
        """Empty the queue, before the follower reads the table."""
        self._queue.clear()
        self._size = 0
        self._lagging = False

    async def take(self, topic: Topic, stopping: asyncio.Event) -> Batch | None:
        """Return the next batch, or NUDGE; None when the follower lags, the job has ended or the server stops."""
        while not stopping.is_set():
            if self._queue:
                batch = self._queue.popleft()
                self._size -= batch.size
                return batch
            if self._lagging or topic.ended:
                return None
            if self._is_nudged:
                self._is_nudged = False
                return NUDGE
            self.event.clear()
            await self.event.wait()
        return None


def make_hub() -> Hub:
    """Return a hub for Django's database, with the limits of the settings."""
    return Hub(conninfo(), streams_per_user=settings.STREAMS_PER_USER)


STREAM_SERVICES = [make_hub]
