"""Limits of the service: their flags, and the values as one tuple."""

import collections
import os

import args
from albert.basics import cli
from albert.basics.errors import InputError

# Name, default, smallest value, meaning.
_LIMITS = (
    ("max_body_bytes", 1 << 20, 1, "Bytes of a request's body at most; larger ones get 413."),
    ("max_texts", 128, 1, "Texts or pairs in a request at most; more get 413."),
    ("max_text_length", 10000, 1, "Characters of a text at most; longer ones get 413."),
    ("queue_size", 1024, 1, "Texts or pairs that may wait; requests beyond get 429."),
    ("max_requests", 512, 1, "Requests worked on at a time, waiting ones included; more get 429."),
    ("max_wait_ms", 2, 0, "How long texts wait for others while a batch is being computed."),
    ("workers", None, 1, "Batches computed at a time; default: one for each four cores."),
    ("read_timeout", 10, 1, "Seconds for a request to arrive; a slower one gets 408."),
    ("request_timeout", 10, 1, "Seconds for an answer; a request that waits longer gets 504."),
    ("keep_alive", 60, 1, "Seconds after which an unused connection is closed."),
    ("shutdown_timeout", 30, 1, "Seconds that accepted requests have when the service ends."),
)

# As the flags say; batch_size is that of `text_model.define_flags`: texts in a batch at most.
ServiceSettings = collections.namedtuple(
    "ServiceSettings", [name for name, *_ in _LIMITS] + ["batch_size"]
)
ServiceSettings.__new__.__defaults__ = tuple(default or 1 for _, default, *_ in _LIMITS) + (128,)


def define_serving_flags(flag_values):
    """Defines a flag for each limit."""
    _, integer, _ = cli.flag_definers(flag_values)
    for name, default, smallest, meaning in _LIMITS:
        integer(name, meaning, default, smallest)


def settings_of(flag_values):
    """`ServiceSettings` from the flags of `define_serving_flags` and `text_model.define_flags`.

    Raises:
        InputError: a request of the size allowed would never find room in the queue.
    """
    limits = {name: getattr(flag_values, name) for name, *_ in _LIMITS}
    # A batch keeps several cores busy by itself.
    limits["workers"] = limits["workers"] or max(1, os.cpu_count() // 4)
    settings = ServiceSettings(batch_size=flag_values.batch_size or args.batch_size, **limits)
    if settings.queue_size < settings.max_texts:
        raise InputError(
            "--queue_size is %d, but a request may have %d texts (--max_texts); expected at least "
            "as many." % (settings.queue_size, settings.max_texts)
        )
    return settings
