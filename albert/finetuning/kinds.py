"""The kinds of tasks, by the name that a task has as its `kind`."""

from albert.basics.errors import InputError
from albert.finetuning.classification.kind import Classification

KINDS = {
    "classification": Classification,
}


def make_kind(processor, settings, tokenizer):
    """The `kind.Kind` of a task; arguments as of its class.

    Raises:
        InputError: there is no such kind.
    """
    if processor.kind not in KINDS:
        raise InputError(
            "--task_name: the task is of the kind '%s'; expected one of %s."
            % (processor.kind, ", ".join(sorted(KINDS)))
        )
    return KINDS[processor.kind](processor, settings, tokenizer)
