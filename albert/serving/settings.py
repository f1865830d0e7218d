"""Limits of the service: their flags, and the values as one tuple."""

import os

from albert.basics.errors import InputError
from albert.basics.flag_table import collect, define, integer, settings_base
from albert.inference import defaults
from albert.inference.flags import BATCH_SIZE

LIMITS = (
    integer("max_body_bytes", "Bytes of a request's body at most; larger ones get 413.", 1 << 20),
    integer("max_texts", "Texts or pairs in a request at most; more get 413.", 128),
    integer("max_text_length", "Characters of a text at most; longer ones get 413.", 10000),
    integer("queue_size", "Texts or pairs that may wait; requests beyond get 429.", 1024),
    integer(
        "max_requests",
        "Requests worked on at a time, waiting ones included; more get 429.",
        512,
    ),
    integer("max_wait_ms", "How long texts wait for others while a batch is being computed.", 2, 0),
    integer("workers", "Batches computed at a time; default: one for each four cores."),
    integer("read_timeout", "Seconds for a request to arrive; a slower one gets 408.", 10),
    integer("request_timeout", "Seconds for an answer; a request that waits longer gets 504.", 10),
    integer("keep_alive", "Seconds after which an unused connection is closed.", 60),
    integer("shutdown_timeout", "Seconds that accepted requests have when the service ends.", 30),
)


class ServiceSettings(settings_base(LIMITS, [BATCH_SIZE])):
    """What a service may do: a field for each limit, and `batch_size`, texts in a batch at most.

    A service needs numbers in all of them, as of `settings_of`.
    """

    __slots__ = ()


def define_serving_flags(flag_values):
    """Defines a flag for each limit."""
    define(flag_values, LIMITS)


def settings_of(flag_values):
    """`ServiceSettings` from the flags of `define_serving_flags` and --batch_size.

    Raises:
        InputError: a request of the size allowed would never find room in the queue.
    """
    settings = collect(flag_values, ServiceSettings)
    settings = settings._replace(
        # A batch keeps several cores busy by itself.
        workers=settings.workers or max(1, os.cpu_count() // 4),
        batch_size=settings.batch_size or defaults.setting("batch_size"),
    )
    if settings.queue_size < settings.max_texts:
        raise InputError(
            "--queue_size is %d, but a request may have %d texts (--max_texts); expected at least "
            "as many." % (settings.queue_size, settings.max_texts)
        )
    return settings
