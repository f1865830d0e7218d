"""What OUTPUT.json beside pre-training records tells a reader of them, and whether it fits.

create_pretraining_data.py writes these files.  They say what the records
alone do not: which vocabulary their ids belong to, and which kind of labels they have.
"""

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.pretraining_data.settings import RecipeSettings

_SHOWN_DIGITS = 12  # of a SHA-256


# Suffix of the file beside each TFRecord file.
DESCRIPTION_SUFFIX = ".json"


def read_description(path):
    """Reads PATH.json beside a file of records.

    Returns:
        Dictionary; None if there is no such file or it is not create_pretraining_data.py's.

    Raises:
        InputError: it cannot be read.
    """
    name = path + DESCRIPTION_SUFFIX
    if not storage.exists(name):
        return None
    description = storage.read_json(name)
    settings = description.get("settings")
    lengths = ("max_seq_length", "max_predictions_per_seq")
    if isinstance(settings, dict) and all(isinstance(settings.get(key), int) for key in lengths):
        return description
    logging.info("%s: not written by create_pretraining_data.py; ignored.", name)
    return None


def check_descriptions(files, config, max_seq_length, max_predictions_per_seq):
    """Compares what is known of record files with each other, the config and the flags.

    Args:
        files: list of paths; those without a description pass.
        config: of the model.
        max_seq_length, max_predictions_per_seq: lengths that the records are to have.

    Returns:
        Dictionary path -> description of those that have one, in order.

    Raises:
        InputError: a description cannot be read or says that there is no record, a number differs,
            or the files have different vocabularies or labels.
    """
    described = {}
    for path in files:
        description = read_description(path)
        if description:
            described[path] = description
    for path, description in described.items():
        _check_lengths(path, description, max_seq_length, max_predictions_per_seq)
        if description.get("records") == 0:
            raise InputError(
                "%s%s says that the file holds no record." % (path, DESCRIPTION_SUFFIX)
            )
    _check_equal(
        described,
        "vocab_sha256",
        "the vocabulary %s (SHA-256 %s)",
        lambda description, digest: (description.get("vocab_file"), digest[:_SHOWN_DIGITS]),
    )
    _check_equal(described, "mlm_labels", "--mlm_labels=%s", lambda _, labels: (labels,))
    _check_vocabulary_size(described, config.vocab_size)
    return described


def _check_lengths(path, description, max_seq_length, max_predictions_per_seq):
    known = description["settings"]
    settings = RecipeSettings(**{name: known.get(name) for name in RecipeSettings._fields})
    for flag, found, expected in (
        ("max_seq_length", settings.max_seq_length, max_seq_length),
        ("max_predictions_per_seq", settings.max_predictions, max_predictions_per_seq),
    ):
        if found != expected:
            doubled = " (%d, doubled by do_permutation)" % known[flag]
            raise InputError(
                "%s%s: %s of the records is %d%s; expected %d (--%s)."
                % (
                    path,
                    DESCRIPTION_SUFFIX,
                    flag,
                    found,
                    "" if found == known[flag] else doubled,
                    expected,
                    flag,
                )
            )


def _check_equal(described, key, meaning, show):
    """Raises InputError if two files differ in `key`, unless one does not say."""
    known = [item for item in described.items() if item[1].get(key)]
    for path, description in known[1:]:
        first, other = known[0]
        if description[key] != other[key]:
            raise InputError(
                "%s was made with %s, but %s with %s; they cannot be used together."
                % (
                    first,
                    meaning % show(other, other[key]),
                    path,
                    meaning % show(description, description[key]),
                )
            )


def _check_vocabulary_size(described, config_size):
    """All files have one vocabulary; descriptions of earlier versions lack its size."""
    for path, description in described.items():
        size = description.get("vocab_size") or config_size
        if size == config_size:
            continue
        message = "%s: its vocabulary %s has %d tokens, but the config's vocab_size is %d" % (
            path,
            description.get("vocab_file"),
            size,
            config_size,
        )
        if size > config_size:
            raise InputError(message + "; records and config must belong to one vocabulary.")
        logging.warning("%s; the ids above are never seen in training.", message)
        return


def format_descriptions(files, described):
    """One line: which vocabulary and labels the records have.

    Args:
        files: list of paths.
        described: what `check_descriptions` returned for them.
    """
    if not described:
        return "vocabulary and labels not known, there is no OUTPUT%s" % DESCRIPTION_SUFFIX

    def known(key):
        return next(filter(None, (value.get(key) for value in described.values())), "not known")

    line = "vocabulary %s (tokens: %s, SHA-256: %s), labels: %s" % (
        known("vocab_file"),
        known("vocab_size"),
        known("vocab_sha256")[:_SHOWN_DIGITS],
        known("mlm_labels"),
    )
    if len(described) < len(files):
        line += "; not known of %d of %d files" % (len(files) - len(described), len(files))
    return line


def write_descriptions(description, outputs, records, summary):
    """Writes OUTPUT.json for each output; `records` are the numbers of records in them."""
    for path, number in zip(outputs, records):
        storage.write_json(
            path + DESCRIPTION_SUFFIX, dict(description, counts=summary, records=number)
        )
