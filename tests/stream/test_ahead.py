"""The next item is made while the consumer works, and no thread outlives the generator."""

import gc
import threading
import traceback

import pytest

from fastloss.stream.ahead import ahead


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    assert not [t for t in threading.enumerate() if t.name.startswith("fastloss")]


class Numbers:
    """0, 1, 2, ... for ever, and which of them have been made."""

    def __init__(self):
        self.made = 0
        self.progress = threading.Condition()
        self.closed = False

    def __iter__(self):
        try:
            while True:
                with self.progress:
                    self.made += 1
                    self.progress.notify_all()
                yield self.made - 1
        finally:
            self.closed = True

    def wait_for(self, count):
        with self.progress:
            return self.progress.wait_for(lambda: self.made >= count, timeout=10)


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_all_items_in_order(count, depth):
    assert list(ahead(range(count), depth)) == list(range(count))


def test_nothing_is_made_before_the_first_item_is_asked_for():
    numbers = Numbers()
    ahead(numbers)
    assert numbers.made == 0


@pytest.mark.parametrize("depth", [1, 3])
def test_as_many_as_the_depth_are_made_ahead_and_no_more(depth):
    numbers = Numbers()
    items = ahead(numbers, depth)
    for i in range(5):
        assert next(items) == i
        assert numbers.wait_for(i + 1 + depth)
        assert not threading.Event().wait(0.01)  # time for one too many
        assert numbers.made == i + 1 + depth
    items.close()


def test_items_are_made_on_another_thread():
    threads = set(ahead(threading.current_thread() for _ in range(3)))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def failing(after):
    yield from range(after)
    raise KeyError("no such chunk")


@pytest.mark.parametrize("after", [0, 1, 5])
def test_an_error_comes_after_the_items_before_it_with_its_traceback(after):
    items = ahead(failing(after))
    for i in range(after):
        assert next(items) == i
    with pytest.raises(KeyError, match="no such chunk") as caught:
        next(items)
    assert "failing" in {frame.name for frame in traceback.extract_tb(caught.tb)}
    assert list(items) == []


def test_closing_stops_the_producer():
    numbers = Numbers()
    producer = iter(numbers)
    items = ahead(producer)
    next(items)
    items.close()
    assert numbers.closed
    assert list(producer) == []


def test_forgetting_the_generator_stops_the_producer():
    numbers = Numbers()
    for _ in ahead(numbers):
        break
    gc.collect()
    assert numbers.closed


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_of_the_consumer_stops_the_producer(error):
    numbers = Numbers()

    def consume():
        for i in ahead(numbers):
            if i == 3:
                raise error

    with pytest.raises(error):
        consume()
    gc.collect()
    assert numbers.closed


def test_a_generator_that_never_started_leaves_the_producer_alone():
    numbers = Numbers()
    items = ahead(numbers)
    items.close()
    assert not numbers.made


def test_an_interrupt_while_the_thread_starts_waits_for_the_item(monkeypatch):
    """The pool does not know of that thread, then."""
    closed, begun = [], threading.Event()

    def items():
        try:
            begun.set()
            threading.Event().wait(0.05)
            yield 1
        finally:
            closed.append(True)

    def interrupted(thread, start=threading.Thread.start):
        start(thread)
        begun.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(ahead(items()))
    assert closed
