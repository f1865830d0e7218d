"""Dynamic batching: requests that wait are computed together.

An idle queue starts at once.  Only while a batch is being computed do texts wait: until a batch is
full, or for a few milliseconds, or for a free worker.
"""

import asyncio
import collections
import concurrent.futures
import functools
import math
import time
from typing import Any, NamedTuple, Sequence


class Outcome(NamedTuple):
    """What became of a caller's items.

    Attributes:
        values: one result for each item.
        waited: seconds in the queue.
        computed: seconds of the batch.
    """

    values: Sequence[Any]
    waited: float
    computed: float


class QueueFull(Exception):
    """No room; `retry_after` is the whole number of seconds after which there may be some."""

    def __init__(self, retry_after):
        super().__init__("The queue is full; retry after %d s." % retry_after)
        self.retry_after = retry_after


class _Job:
    def __init__(self, items, future):
        self.items, self.future = items, future
        self.since = time.perf_counter()


class BatchQueue:
    """Computes the items of many callers in batches; all methods belong to the event loop's thread.

    Callers are served in the order in which they came.  What one caller submits stays together.

    Attributes:
        waiting: number of items that no worker has taken yet.
        running: number of batches being computed.
    """

    def __init__(
        self,
        function,
        batch_size=128,
        max_waiting=1024,
        max_wait=0.002,
        workers=1,
        on_batch=lambda size, seconds: None,
    ):
        """Starts no thread yet.

        Args:
            function: of a list of items; gives as many results, in their order.  Called in
                `workers` threads.
            batch_size: items in a batch at most; more only if one caller submits more.
            max_waiting: items that may wait at most.
            max_wait: seconds that an item waits for others while a batch is being computed.
            workers: batches computed at a time at most.
            on_batch: called after each batch with the number of items and the seconds.
        """
        self._function, self._on_batch = function, on_batch
        self._batch_size, self._max_waiting, self._max_wait = batch_size, max_waiting, max_wait
        self._workers = workers
        self._executor = concurrent.futures.ThreadPoolExecutor(workers)
        self._jobs = collections.deque()
        self._timer = None
        self._seconds_per_item = 0.0  # of the last batches, a moving average
        self.waiting = self.running = 0

    async def submit(self, items, timeout):
        """Results for a list of items.

        Args:
            timeout: seconds.

        Returns:
            `Outcome`.

        Raises:
            QueueFull: too many are waiting, or probably too many for an answer in time.
            asyncio.TimeoutError: no result in time.
            Exception: what the function raised for the batch.
        """
        waiting = self.waiting + len(items)
        # Who could not be answered in time is better told so at once.
        too_late = self.waiting and self._expected_seconds(waiting) > timeout / 2
        if waiting > self._max_waiting or too_late:
            raise QueueFull(max(1, math.ceil(self._expected_seconds(self.waiting))))
        job = _Job(items, asyncio.get_event_loop().create_future())
        self._jobs.append(job)
        self.waiting += len(items)
        self._dispatch()
        try:
            return await asyncio.wait_for(job.future, timeout)
        finally:
            if job in self._jobs:  # given up before a worker took it
                self._jobs.remove(job)
                self.waiting -= len(items)

    def close(self):
        """Ends the threads; nothing may be waiting."""
        self._executor.shutdown()

    def _expected_seconds(self, items):
        """How long some items take, as the last batches did."""
        return items * self._seconds_per_item / self._workers

    def _dispatch(self):
        """Starts all batches that are due, and sees to it that the next one is not forgotten."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._jobs and self.running < self._workers:
            missing = self._jobs[0].since + self._max_wait - time.perf_counter()
            if self.running and self.waiting < self._batch_size and missing > 0:
                self._timer = asyncio.get_event_loop().call_later(missing, self._dispatch)
                return
            self._start_batch()

    def _start_batch(self):
        batch = [self._jobs.popleft()]
        size = len(batch[0].items)
        while self._jobs and size + len(self._jobs[0].items) <= self._batch_size:
            batch.append(self._jobs.popleft())
            size += len(batch[-1].items)
        self.waiting -= size
        self.running += 1
        items = [item for job in batch for item in job.items]
        task = asyncio.get_event_loop().run_in_executor(self._executor, self._compute, items)
        task.add_done_callback(functools.partial(self._finish, batch, size))

    def _compute(self, items):
        start = time.perf_counter()
        values = self._function(items)
        if len(values) != len(items):
            raise ValueError("%d results for %d items" % (len(values), len(items)))
        return values, start, time.perf_counter() - start

    def _finish(self, batch, size, task):
        self.running -= 1
        error = task.exception()
        if error is None:
            values, start, seconds = task.result()
            self._seconds_per_item += 0.2 * (seconds / size - self._seconds_per_item)
            self._on_batch(size, seconds)
        offset = 0
        for job in batch:
            end = offset + len(job.items)
            if job.future.done():  # timed out meanwhile
                pass
            elif error is None:
                job.future.set_result(Outcome(values[offset:end], start - job.since, seconds))
            else:
                job.future.set_exception(error)
            offset = end
        self._dispatch()
