"""What makes the folder of a run complete: config and vocabulary beside the checkpoints."""

from typing import NamedTuple, Optional

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.model_files import model_folder
from albert.pretraining_data import descriptions
from albert.pretraining_data.inspection import is_binary


class Vocabulary(NamedTuple):
    """The vocabulary of a run's records.

    Attributes:
        vocab_file, spm_file: path of a WordPiece vocabulary or of a SentencePiece model; None for
            both: it is not known.
        do_lower_case: whether the texts were lower-cased.
    """

    vocab_file: Optional[str] = None
    spm_file: Optional[str] = None
    do_lower_case: bool = True


def find_vocabulary(settings, files):
    """`Vocabulary` of record files, by flags or by the descriptions beside the files.

    Args:
        settings: `flags.PretrainingSettings`.
        files: paths; they have one vocabulary (`descriptions.check_descriptions`).

    Raises:
        InputError: the flags name another vocabulary than the descriptions, or none that is there.
    """
    if settings.vocab_file and settings.spm_model_file:
        raise InputError("--vocab_file and --spm_model_file are both given; pass one of them.")
    described = filter(None, map(descriptions.read_description, files))
    description = next((found for found in described if found.get("vocab_sha256")), {})
    given = settings.vocab_file or settings.spm_model_file
    path, expected = given or description.get("vocab_file"), description.get("vocab_sha256")
    # Without a digest the file of that name may be another one.
    if not given and not (path and expected and storage.exists(path)):
        return Vocabulary()
    if expected and storage.sha256(path) != expected:
        if given:
            raise InputError(
                "%s is not the vocabulary that the records were made with: its SHA-256 differs "
                "from vocab_sha256 in their %s files." % (path, descriptions.DESCRIPTION_SUFFIX)
            )
        logging.warning("%s: has changed since the records were made; it is not copied.", path)
        return Vocabulary()
    is_spm = bool(settings.spm_model_file) if given else is_binary(path)
    lower = description.get("settings", {}).get("do_lower_case") is not False
    if is_spm:
        return Vocabulary(spm_file=path, do_lower_case=lower)
    storage.read_bytes(path)  # says what is wrong with it
    return Vocabulary(vocab_file=path, do_lower_case=lower)


def write(settings, vocabulary):
    """Copies config and vocabulary to the run's folder, so that it is all that fine-tuning needs.

    Args:
        settings: `flags.PretrainingSettings`.
        vocabulary: `Vocabulary`.
    """
    model_folder.write_files(
        settings.output_dir,
        settings.bert_config_file,
        vocabulary.vocab_file,
        vocabulary.spm_file,
        None if vocabulary.do_lower_case else {"do_lower_case": False},
    )
    own_vocabulary = model_folder.own_vocabulary(settings.output_dir)
    if not any(own_vocabulary):
        logging.info(
            "%s: the vocabulary of the records is not known; with --vocab_file it is copied there, "
            "and the folder is all that fine-tuning needs.",
            settings.output_dir,
        )
