"""Labels as files have them, and as tasks know them: which are the same, which are none."""

import re
import unicodedata

from albert.basics.tables import tidy

# What a file has where a label is not known; unless the task has a label of that name.
UNKNOWN = frozenset(("", "-", "?", "nan", "none", "null", "n/a", "<na>", "unk", "unknown"))
_MISSING_NUMBER = -1  # also as -1.0
_TRUTH = frozenset(("true", "false"))
# In a table whose labels are found, one that occurs at most so often is doubted ...
RARE = 2
# ... if the table has at least so many rows.
MIN_ROWS_TO_DOUBT = 20


def is_unknown(label):
    """Whether a file says with this that it has no label there."""
    return label.lower() in UNKNOWN or _whole(label) == _MISSING_NUMBER


def match(value, labels):
    """The one of `labels` that a file's label is, or None.

    White space around it does not count, 1.0 is the same number as 1, and True the same truth
    value as true or TRUE.
    """
    if value in labels:
        return value
    value = tidy(value)
    if value in labels:
        return value
    number = _whole(value)
    if number is not None:
        return next((label for label in labels if _whole(label) == number), None)
    if value.lower() in _TRUTH:
        return next((label for label in labels if label.lower() == value.lower()), None)
    return None


def of_found(found):
    """Sorted list of the labels of a file, given what its cells have: numbers by their value.

    A whole number with a point (1.0) is the one without where the others are written without, and
    truth values that are written in several ways are true and false.
    """
    found = {tidy(label) for label in found}
    if len(found) > len(_TRUTH) >= len({label.lower() for label in found} | _TRUTH):
        return sorted(_TRUTH)
    are_whole = all(_whole(label) is not None for label in found)
    if are_whole and not all("." in label for label in found):
        found = {str(_whole(label)) if "." in label else label for label in found}
    else:
        found = {
            label
            for label in found
            if "." not in label or _whole(label) is None or str(_whole(label)) not in found
        }
    return sorted(found, key=float if all(map(is_number, found)) else None)


def looks(label):
    """What two labels have in common that a person takes for one: case, width, zeros in front."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    number = _whole(folded)
    return "".join(folded.split()) if number is None else str(number)


def is_number(text):
    """Whether a text is a finite number."""
    try:
        return abs(float(text)) < float("inf")  # false for nan
    except ValueError:
        return False


def rare(counts):
    """Those labels of `{label: number of rows}` that are probably none, as of a shifted cell."""
    if sum(counts.values()) < MIN_ROWS_TO_DOUBT:
        return []
    return [label for label, count in counts.items() if count <= RARE]


def _whole(label):
    """Value of a whole number such as 1, -1 or 1.0; None of anything else."""
    if not re.fullmatch(r"[+-]?[0-9]+(\.0*)?", label):
        return None
    return int(label.partition(".")[0])
