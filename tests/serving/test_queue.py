"""Dynamic batching: who is computed with whom, when, and what happens when it goes wrong."""

import asyncio
import contextlib
import itertools
import threading

import pytest

from albert.serving.queue import BatchQueue, QueueFull
from helpers.serving import NEVER, wait_until


class Doubling:
    """Function for a queue; does not go on until `gate` is set."""

    def __init__(self, is_open=True):
        self.batches = []
        self.gate = threading.Event()
        if is_open:
            self.gate.set()

    def __call__(self, items):
        self.batches.append(list(items))
        assert self.gate.wait(NEVER)
        if "bad" in items:
            raise ArithmeticError("cannot double it")
        return [2 * item for item in items]


@contextlib.contextmanager
def open_queue(function, **settings):
    queue = BatchQueue(function, **settings)
    try:
        yield queue
    finally:
        function.gate.set()
        queue.close()


def submit(queue, *items, timeout=NEVER):
    return asyncio.ensure_future(queue.submit(list(items), timeout))


async def started(function, number):
    """Waits until a number of batches has been started."""
    loop = asyncio.get_event_loop()
    await loop.run_in_executor(None, wait_until, lambda: len(function.batches) >= number)


async def settle():
    """Lets everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_everyone_gets_his_own():
    async def main():
        function = Doubling()
        with open_queue(function, batch_size=4) as queue:
            sizes = [1, 3, 2, 7, 1, 1, 4]
            items = [[10 * caller + i for i in range(size)] for caller, size in enumerate(sizes)]
            outcomes = await asyncio.gather(*[submit(queue, *part) for part in items])
            assert [outcome.values for outcome in outcomes] == [
                [2 * item for item in part] for part in items
            ]
            assert all(outcome.waited >= 0 and outcome.computed >= 0 for outcome in outcomes)
            assert (queue.waiting, queue.running) == (0, 0)
            assert list(itertools.chain(*function.batches)) == list(itertools.chain(*items))

    asyncio.run(main())


def test_idle_starts_at_once():
    async def main():
        function = Doubling()
        with open_queue(function, max_wait=NEVER, workers=2) as queue:
            for item in range(3):
                assert (await submit(queue, item)).values == [2 * item]
            assert function.batches == [[0], [1], [2]]

    asyncio.run(main())


def test_those_who_wait_are_computed_together():
    async def main():
        function, sizes = Doubling(is_open=False), []
        settings = {"batch_size": 4, "on_batch": lambda size, seconds: sizes.append(size)}
        with open_queue(function, **settings) as queue:
            tasks = [submit(queue, 0)]
            await started(function, 1)
            tasks += [submit(queue, *items) for items in ([1], [2, 3], [4, 5], [6] * 9, [7])]
            await settle()
            assert (queue.waiting, queue.running) == (15, 1)
            assert len(function.batches) == 1
            function.gate.set()
            await asyncio.gather(*tasks)
            # [4, 5] would be one too many, and nobody's items are torn apart.
            assert function.batches == [[0], [1, 2, 3], [4, 5], [6] * 9, [7]]
            assert sizes == [1, 3, 2, 9, 1]

    asyncio.run(main())


def test_free_worker_waits_while_another_one_computes():
    async def main():
        function = Doubling(is_open=False)
        with open_queue(function, batch_size=3, max_wait=NEVER, workers=2) as queue:
            tasks = [submit(queue, 0)]
            await started(function, 1)
            tasks += [submit(queue, 1), submit(queue, 2)]
            await settle()
            assert (queue.waiting, queue.running) == (2, 1)
            tasks.append(submit(queue, 3))  # the batch is full
            await started(function, 2)
            assert function.batches == [[0], [1, 2, 3]]
            function.gate.set()
            await asyncio.gather(*tasks)

    asyncio.run(main())


def test_free_worker_waits_no_longer_than_max_wait():
    async def main():
        function = Doubling(is_open=False)
        with open_queue(function, max_wait=0.05, workers=2) as queue:
            tasks = [submit(queue, 0)]
            await started(function, 1)
            tasks += [submit(queue, 1), submit(queue, 2)]
            await settle()
            assert queue.waiting == 2
            await started(function, 2)  # though the first batch does not end
            assert function.batches == [[0], [1, 2]]
            function.gate.set()
            await asyncio.gather(*tasks)

    asyncio.run(main())


def test_full_queue_refuses_and_recovers():
    async def main():
        function = Doubling(is_open=False)
        with open_queue(function, max_waiting=3) as queue:
            tasks = [submit(queue, 0)]
            await started(function, 1)
            tasks.append(submit(queue, 1, 2))
            await settle()
            with pytest.raises(QueueFull) as raised:
                await submit(queue, 3, 4)
            assert raised.value.retry_after >= 1
            assert queue.waiting == 2
            tasks.append(submit(queue, 3))  # fits
            await settle()
            assert queue.waiting == 3
            function.gate.set()
            await asyncio.gather(*tasks)
            assert (await submit(queue, 5, 6, 7)).values == [10, 12, 14]

    asyncio.run(main())


def test_who_would_be_too_late_is_refused():
    async def main():
        function = Doubling(is_open=False)
        with open_queue(function, batch_size=1) as queue:
            first = submit(queue, 0)
            await started(function, 1)
            await asyncio.sleep(0.5)
            function.gate.set()
            await first  # of its 0.5 s the moving average has a fifth
            function.gate.clear()
            tasks = [submit(queue, item) for item in range(4)]
            await started(function, 2)
            assert queue.waiting == 3
            with pytest.raises(QueueFull):  # 4 * 0.1 s or more
                await submit(queue, 4, timeout=0.5)
            tasks.append(submit(queue, 5))  # has the time
            function.gate.set()
            outcomes = await asyncio.gather(*tasks)
            assert [outcome.values for outcome in outcomes] == [[0], [2], [4], [6], [10]]
            # With an empty queue it is always tried.
            assert (await submit(queue, 1, timeout=NEVER)).values == [2]

    asyncio.run(main())


def test_who_gives_up_is_not_computed():
    async def main():
        function = Doubling(is_open=False)
        with open_queue(function) as queue:
            first = submit(queue, 0)
            await started(function, 1)
            hurried, cancelled = submit(queue, 1, timeout=0.01), submit(queue, 2, 2)
            patient = submit(queue, 3)
            with pytest.raises(asyncio.TimeoutError):
                await hurried
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert queue.waiting == 1
            function.gate.set()
            assert (await first).values == [0]
            assert (await patient).values == [6]
            assert function.batches == [[0], [3]]

    asyncio.run(main())


def test_giving_up_while_computed_harms_no_one():
    batches, may_end = [], threading.Semaphore(0)

    def double(items):
        batches.append(items)
        assert may_end.acquire(timeout=NEVER)
        return [2 * item for item in items]

    async def main():
        queue = BatchQueue(double)
        first = submit(queue, 0)
        hurried, patient = submit(queue, 1, timeout=0.5), submit(queue, 2)
        await settle()
        may_end.release()
        assert (await first).values == [0]
        with pytest.raises(asyncio.TimeoutError):
            await hurried
        may_end.release()
        assert (await patient).values == [4]
        # On a slow machine the second batch started when the first caller had given up already.
        assert batches in ([[0], [1, 2]], [[0], [2]])
        assert queue.waiting == 0
        queue.close()

    asyncio.run(main())


def test_failure_reaches_its_batch_only():
    async def main():
        function = Doubling()
        with open_queue(function) as queue:
            with pytest.raises(ArithmeticError, match="cannot double it"):
                await submit(queue, "bad")
            assert (await submit(queue, 1)).values == [2]
            assert (queue.waiting, queue.running) == (0, 0)

    asyncio.run(main())


def test_wrong_number_of_results():
    async def main():
        queue = BatchQueue(lambda items: items[1:])
        with pytest.raises(ValueError, match="1 results for 2 items"):
            await queue.submit([1, 2], NEVER)
        queue.close()

    asyncio.run(main())
