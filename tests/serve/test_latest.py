"""Handing on the newest value, from thread to thread and to coroutines."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ultraface_deploy.serve.latest import Closed, Newest, Slot


def test_a_slot_keeps_the_newest_and_counts_the_rest() -> None:
    slot: Slot[int] = Slot()
    for value in range(5):
        slot.put(value)
    assert slot.take() == 4
    assert slot.dropped == 4
    slot.put(9)
    assert (slot.take(), slot.dropped) == (9, 4)


def test_who_waits_is_let_go() -> None:
    slot: Slot[int] = Slot()
    ended = []

    def take() -> None:
        with pytest.raises(Closed):
            slot.take()
        ended.append(True)

    thread = threading.Thread(target=take)
    thread.start()
    slot.close()
    thread.join(10)
    assert ended == [True]
    slot.wait_until_taken()


def test_room_is_waited_for() -> None:
    slot: Slot[int] = Slot()
    slot.put(1)
    waiter = threading.Thread(target=slot.wait_until_taken)
    waiter.start()
    assert waiter.is_alive()
    slot.take()
    waiter.join(10)
    assert not waiter.is_alive()


def test_readers_get_the_newest_and_miss_what_they_were_too_slow_for() -> None:
    async def play() -> None:
        newest: Newest[int] = Newest()
        newest.attach()
        got: dict[str, list[int]] = {"fast": [], "slow": []}

        async def read(name: str, missed: int) -> None:
            number = 0
            while True:
                try:
                    number, value = await newest.newer(number)
                except Closed:
                    return
                got[name].append(value)
                while newest.number < min(200, number + missed):
                    await asyncio.sleep(0)

        readers = [asyncio.create_task(read("fast", 0)), asyncio.create_task(read("slow", 3))]
        for value in range(200):
            await asyncio.to_thread(newest.publish, value)
            while value not in got["fast"][-1:]:
                await asyncio.sleep(0)
        while got["slow"][-1] != 199:
            await asyncio.sleep(0)
        newest.close()
        await asyncio.gather(*readers)
        assert got["fast"] == list(range(200))
        assert got["slow"] == sorted(set(got["slow"]))
        assert len(got["slow"]) < 100
        assert got["slow"][-1] == 199

    asyncio.run(play())


def test_publishing_after_the_loop_has_ended_does_nothing() -> None:
    newest: Newest[int] = Newest()

    async def attach() -> None:
        newest.attach()

    asyncio.run(attach())
    newest.publish(1)
    newest.publish(2)
    assert newest.value == 2


def test_nothing_is_scheduled_twice_before_the_loop_comes_round() -> None:
    """A loop that is busy for a while finds one call, not one for each picture."""

    async def play() -> int:
        newest: Newest[int] = Newest()
        newest.attach()
        loop = asyncio.get_running_loop()
        calls = []
        schedule = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args: calls.append(args) or schedule(*args)  # type: ignore
        for value in range(1000):
            newest.publish(value)
        return len(calls)

    assert asyncio.run(play()) == 1
