"""The threads that run Django for the event loop."""

import asyncio
import contextvars
import gc
import threading
import time
import weakref

import pytest

from coderproj.web.threads import NoThread, Threads

LANGUAGE = contextvars.ContextVar("LANGUAGE", default="en")


def name() -> str:
    return threading.current_thread().name


@pytest.fixture
def threads(request):
    threads = Threads(getattr(request, "param", 2))
    yield threads
    threads.close()


def ended(threads: list[threading.Thread]) -> bool:
    deadline = time.monotonic() + 5
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    return not any(thread.is_alive() for thread in threads)


def test_results_and_errors_come_back(threads):
    async def ask() -> tuple[str, BaseException]:
        text = await threads.run(lambda: "answer")
        with pytest.raises(ValueError, match="no good") as raised:
            await threads.run(lambda: int("no good"))
        return text, raised.value

    text, error = asyncio.run(ask())
    assert text == "answer"
    assert isinstance(error, ValueError)


def test_system_exit_does_not_end_the_thread(threads):
    def leave() -> None:
        raise SystemExit(3)

    async def ask() -> str:
        with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
            await threads.run(leave)
        return await threads.run(name)

    assert asyncio.run(ask()) == "web_1"


def test_functions_run_in_the_context_of_the_caller(threads):
    async def ask() -> str:
        LANGUAGE.set("de")
        return await threads.run(LANGUAGE.get)

    assert asyncio.run(ask()) == "de"


def test_threads_are_started_on_demand_and_the_last_idle_one_is_used_first(threads):
    """Sequential functions run on one thread, concurrent ones on two, then on the thread that finished last."""
    first_may_end, second_may_end = threading.Event(), threading.Event()

    def wait_for(event: threading.Event) -> str:
        assert event.wait(5)
        return name()

    async def ask() -> list[str]:
        names = [await threads.run(name) for _ in range(3)]
        first = asyncio.create_task(threads.run(lambda: wait_for(first_may_end)))
        second = asyncio.create_task(threads.run(lambda: wait_for(second_may_end)))
        await asyncio.sleep(0)
        second_may_end.set()
        names.append(await second)
        first_may_end.set()
        names.append(await first)
        names.append(await threads.run(name))
        return names

    assert asyncio.run(ask()) == ["web_1", "web_1", "web_1", "web_2", "web_1", "web_1"]


@pytest.mark.parametrize("threads", [1], indirect=True)
def test_functions_without_a_free_thread_run_in_order(threads):
    may_go_on = threading.Event()
    order: list[int] = []

    def work(number: int) -> int:
        assert may_go_on.wait(5)
        order.append(number)
        return number

    async def ask() -> list[int]:
        tasks = [asyncio.create_task(threads.run(lambda number=number: work(number))) for number in range(20)]
        await asyncio.sleep(0.05)
        assert order == []
        may_go_on.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(ask()) == list(range(20))
    assert order == list(range(20))


@pytest.mark.parametrize("threads", [8], indirect=True)
def test_functions_of_several_event_loops_all_return(threads):
    async def ask(loop: int) -> bool:
        tasks = (threads.run(lambda number=number: (loop, number)) for number in range(500))
        return await asyncio.gather(*tasks) == [(loop, number) for number in range(500)]

    answers: list[bool] = []
    callers = [threading.Thread(target=lambda n=n: answers.append(asyncio.run(ask(n)))) for n in range(4)]
    for caller in callers:
        caller.start()
    assert ended(callers)
    assert answers == [True] * 4


def test_close_finishes_running_functions_and_rejects_waiting_ones():
    threads = Threads(1)
    before = set(threading.enumerate())
    begun, may_end, done = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        assert may_end.wait(5)
        done.append("first")

    async def ask() -> None:
        first = asyncio.create_task(threads.run(work))
        second = asyncio.create_task(threads.run(lambda: done.append("second")))
        await asyncio.to_thread(begun.wait, 5)
        threads.close()
        may_end.set()
        await first
        with pytest.raises(NoThread, match="have been closed"):
            await threads.run(name)
        with pytest.raises(NoThread, match="have been closed"):
            await second

    asyncio.run(ask())
    assert done == ["first"]
    assert ended([one for one in threading.enumerate() if one not in before and one.name.startswith("web_")])


def test_running_threads_do_the_work_if_no_thread_can_be_started(threads, monkeypatch):
    start = threading.Thread.start
    limit = ["web_1"]

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("web_") and thread.name not in limit:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    async def ask(count: int) -> list[str]:
        barrier = threading.Barrier(2)

        def meet() -> str:
            if len(limit) == 2:  # needs both threads at once
                barrier.wait(5)
            return name()

        return await asyncio.gather(*(threads.run(meet) for _ in range(count)))

    assert asyncio.run(ask(2)) == ["web_1", "web_1"]
    limit.append("web_2")
    assert sorted(asyncio.run(ask(2))) == ["web_1", "web_2"]


@pytest.mark.parametrize("threads", [1], indirect=True)
def test_run_raises_if_there_is_no_thread_at_all(threads, monkeypatch):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(NoThread, match="new thread"):
            asyncio.run(threads.run(name))
    assert asyncio.run(threads.run(name)) == "web_1"


def test_close_ends_idle_threads():
    threads = Threads(3)
    before = set(threading.enumerate())

    async def ask() -> None:
        barrier = threading.Barrier(3)
        await asyncio.gather(*(threads.run(lambda: barrier.wait(5)) for _ in range(3)))

    asyncio.run(ask())
    started = [one for one in threading.enumerate() if one not in before and one.name.startswith("web_")]
    assert len(started) == 3
    threads.close()
    assert ended(started)


def test_idle_threads_keep_no_objects_alive(threads):
    class Large:
        pass

    async def ask() -> weakref.ref[Large]:
        return weakref.ref(await threads.run(Large))

    reference = asyncio.run(ask())
    deadline = time.monotonic() + 5
    while reference() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert reference() is None


def test_a_closed_event_loop_does_not_end_the_thread(threads):
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert may_end.wait(5)

    async def leave() -> None:
        task = asyncio.create_task(threads.run(work))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()

    asyncio.run(leave())
    may_end.set()
    assert asyncio.run(threads.run(name)) in {"web_1", "web_2"}
