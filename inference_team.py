"""Threads that compute one sequence together."""

import queue
import threading
import weakref


class Team:
    """Splits the tokens of a sequence over threads; the caller's is one of them."""

    def __init__(self, size):
        self._size = size
        self._tasks = [queue.SimpleQueue() for _ in range(size - 1)]
        for tasks in self._tasks:
            threading.Thread(target=_work, args=(tasks,), daemon=True).start()
        self.close = weakref.finalize(self, _dismiss, self._tasks)

    def run(self, function, num_rows):
        """Calls `function(rows, sync)` in every thread, and returns when all have finished.

        The slices `rows` share `num_rows` evenly. `sync()` waits until all threads are there.
        """
        task = _Task(function, threading.Barrier(self._size))
        ends = [num_rows * (member + 1) // self._size for member in range(self._size)]
        for tasks, start, end in zip(self._tasks, ends, ends[1:]):
            tasks.put((task, slice(start, end)))
        task.run(slice(0, ends[0]))
        if task.error:
            raise task.error


class _Task:
    def __init__(self, function, barrier):
        self.error = None
        self._function, self._barrier = function, barrier

    def run(self, rows):
        try:
            self._function(rows, self._barrier.wait)
            self._barrier.wait()
        except threading.BrokenBarrierError:
            pass  # another thread failed and has set the error
        except Exception as error:
            self.error = error
            self._barrier.abort()


def _work(tasks):
    for task, rows in iter(tasks.get, None):
        task.run(rows)


def _dismiss(all_tasks):
    for tasks in all_tasks:
        tasks.put(None)
