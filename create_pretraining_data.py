"""Makes TFRecord files for masked-word and sentence-order pre-training from raw text.

Input is UTF-8 text with one sentence per line and a blank line between documents.  Beside each
output a file OUTPUT.json records the settings and what was counted.
"""

import collections
import os
import random
import re
from typing import NamedTuple

from absl import flags, logging
from tqdm import tqdm

import cli
import file_utils
import pretraining_records
import recipe_albert_zh
import tokenization
import word_segmentation
from file_utils import InputError

# Each recipe is a module with `sentence_encoder` and `create_training_instances`.
RECIPES = {"albert_zh": recipe_albert_zh}
MLM_LABELS = ("reference", "plain")


class Settings(NamedTuple):
    """Everything but file names that decides what is written; each is a flag (`define_flags`)."""

    recipe: str = "albert_zh"
    do_lower_case: bool = True
    do_whole_word_mask: bool = False
    non_chinese: bool = False
    mlm_labels: str = "reference"
    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    dupe_factor: int = 10
    random_seed: int = 12345


def define_flags(flag_values):
    """Defines the flags of this script on a `flags.FlagValues`."""
    default = Settings()

    def define(function, name, *arguments):
        function(name, getattr(default, name), *arguments, flag_values=flag_values)

    flags.DEFINE_string(
        "input_file", None, "Text files: comma-separated names or globs.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "output_file", None, "TFRecord files, comma-separated.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "vocab_file", None, "Vocabulary, one token per line.", flag_values=flag_values
    )
    flags.mark_flags_as_required(
        ["input_file", "output_file", "vocab_file"], flag_values=flag_values
    )
    define(flags.DEFINE_enum, "recipe", sorted(RECIPES), "How instances are made.")
    define(flags.DEFINE_bool, "do_lower_case", "Lower-case the text and strip accents.")
    define(flags.DEFINE_bool, "do_whole_word_mask", "Mask all tokens of a word together.")
    define(flags.DEFINE_bool, "non_chinese", "Do not look for Chinese words.")
    define(
        flags.DEFINE_enum,
        "mlm_labels",
        MLM_LABELS,
        "Label of a masked character that is not the first of its word: 'reference', with ##, as "
        "albert_zh's checkpoints were trained; 'plain', the character itself.",
    )
    define(flags.DEFINE_integer, "max_seq_length", "Tokens per instance, at least 5.")
    define(flags.DEFINE_integer, "max_predictions_per_seq", "Most masked tokens per instance.")
    define(flags.DEFINE_float, "masked_lm_prob", "Share of the tokens that is masked.")
    define(
        flags.DEFINE_float, "short_seq_prob", "Share of the documents cut into shorter instances."
    )
    define(flags.DEFINE_integer, "dupe_factor", "Passes over the text, each masked differently.")
    define(flags.DEFINE_integer, "random_seed", "Seed: equal seeds give equal data.")


def validate_settings(settings):
    """Raises InputError if a value is out of range."""
    rules = {
        "recipe": (settings.recipe in RECIPES, "one of " + ", ".join(sorted(RECIPES))),
        "mlm_labels": (settings.mlm_labels in MLM_LABELS, "one of " + ", ".join(MLM_LABELS)),
        "max_seq_length": (settings.max_seq_length >= 5, "at least 5"),
        "max_predictions_per_seq": (settings.max_predictions_per_seq >= 1, "at least 1"),
        "masked_lm_prob": (0 < settings.masked_lm_prob <= 1, "more than 0 and at most 1"),
        "short_seq_prob": (0 <= settings.short_seq_prob <= 1, "from 0 to 1"),
        "dupe_factor": (settings.dupe_factor >= 1, "at least 1"),
    }
    for name, (valid, expected) in rules.items():
        if not valid:
            raise InputError("--%s is %s; expected %s." % (name, getattr(settings, name), expected))


def output_paths(output_file, input_paths):
    """Splits ``--output_file`` at commas and proves that the files can be written.

    Raises:
        InputError: a folder is missing or not writable, or a file is named twice or is an input.
    """
    paths = output_file.split(",")
    taken = {os.path.realpath(path) for path in input_paths}
    for path in paths:
        if file_utils.is_remote(path):
            continue
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise InputError("--output_file: the folder '%s' of '%s' is missing." % (folder, path))
        if not path or os.path.isdir(path):
            raise InputError("--output_file: '%s' is not the name of a file." % path)
        if os.path.realpath(path) in taken:
            raise InputError("--output_file: '%s' is an input, or is named twice." % path)
        taken.add(os.path.realpath(path))
        file_utils.prepare_output_dir(folder, "output_file")
    return paths


def read_documents(paths, encode):
    """Yields documents from text files (spec/data.md 2.2).

    A blank line ends a document; the end of a file does not.

    Args:
        paths: list of file names.
        encode: function: line of text, stripped -> sentence; empty sentences are left out.

    Yields:
        Lists of at least one sentence.
    """
    document = []
    for path in paths:
        _warn_of_lone_carriage_returns(path)
        for line in file_utils.read_lines(path):
            line = line.strip()
            if line:
                sentence = encode(line)
                if sentence:
                    document.append(sentence)
            elif document:
                yield document
                document = []
    if document:
        yield document


def _warn_of_lone_carriage_returns(path):
    if re.search(rb"\r(?!\r|\n|\Z)", file_utils.read_bytes(path)):
        logging.warning(
            "%s: has carriage returns inside of lines; they are deleted, which joins what stands "
            "on both sides. Only line feeds end lines.",
            path,
        )


def count_documents(documents, vocab):
    """Returns counts of the text, as a dictionary; `documents` hold sequences of token ids."""
    tokens = unknown = 0
    for document in documents:
        tokens += sum(map(len, document))
        unknown += sum(sentence.count(vocab[tokenization.UNK_TOKEN]) for sentence in document)
    return {
        "documents": len(documents),
        "single_sentence_documents": sum(len(document) == 1 for document in documents),
        "sentences": sum(map(len, documents)),
        "tokens": tokens,
        "unknown_tokens": unknown,
    }


def count_instances(instances, vocab):
    """Returns counts of the instances, as a dictionary; tokens include ``[CLS]`` and ``[SEP]``."""
    labels = collections.Counter()
    for instance in instances:
        labels.update(instance.masked_lm_ids)
    return {
        "instances": len(instances),
        "instance_tokens": sum(len(instance.input_ids) for instance in instances),
        "masked_tokens": sum(labels.values()),
        "marked_labels": sum(
            labels[index]
            for token, index in vocab.items()
            if token.startswith(word_segmentation.MARK)
        ),
        "swapped_instances": sum(instance.next_sentence_label for instance in instances),
    }


def create_pretraining_data(input_file, output_file, vocab_file, settings):
    """Does what the script does.

    Args:
        input_file: comma-separated names or globs of text files.
        output_file: comma-separated names; each NAME.json is written too.
        vocab_file: WordPiece vocabulary.
        settings: `Settings`.

    Returns:
        Dictionary of counts.

    Raises:
        InputError: a file, a value or the text is not usable; nothing is written then.
    """
    validate_settings(settings)
    inputs = file_utils.match_files(input_file)
    outputs = output_paths(output_file, inputs)
    tokenizer = tokenization.FullTokenizer(vocab_file, settings.do_lower_case)
    vocab = tokenizer.vocab
    tokenization.check_special_tokens(vocab, vocab_file)
    recipe = RECIPES[settings.recipe]

    documents = read_documents(inputs, recipe.sentence_encoder(tokenizer, settings))
    documents = list(tqdm(documents, "reading", unit=" documents", disable=None))
    counts = count_documents(documents, vocab)
    instances = recipe.create_training_instances(
        documents, vocab, settings, random.Random(settings.random_seed)
    )
    if not instances:
        raise InputError(
            "--input_file: no instance can be made of %d documents with %d sentences; at least "
            "one document must have two sentences (one sentence per line, a blank line between "
            "documents)." % (counts["documents"], counts["sentences"])
        )
    counts.update(count_instances(instances, vocab))
    description = {
        "settings": settings._asdict(),
        "input_files": inputs,
        "vocab_file": vocab_file,
        "vocab_sha256": file_utils.sha256(vocab_file),
        "mlm_labels": settings.mlm_labels,
        "counts": counts,
    }
    if not settings.non_chinese:
        description["jieba_version"] = word_segmentation.load_jieba().__version__
    records = pretraining_records.write_instance_to_example_files(
        tqdm(instances, "writing", unit=" instances", disable=None),
        settings.max_seq_length,
        settings.max_predictions_per_seq,
        outputs,
    )
    for path, number in zip(outputs, records):
        file_utils.write_json(path + ".json", dict(description, records=number))
    return counts


def format_counts(counts):
    """Returns the summary of a run as lines of text."""

    def share(part, whole):
        return "%d (%.2f%%)" % (counts[part], 100.0 * counts[part] / counts[whole])

    return "\n".join(
        [
            "documents: %d" % counts["documents"],
            "  of one sentence, not usable: %s" % share("single_sentence_documents", "documents"),
            "sentences: %d" % counts["sentences"],
            "tokens: %d" % counts["tokens"],
            "  [UNK]: %s" % share("unknown_tokens", "tokens"),
            "instances: %d" % counts["instances"],
            "  with swapped segments: %s" % share("swapped_instances", "instances"),
            "tokens in instances: %d" % counts["instance_tokens"],
            "  masked: %s" % share("masked_tokens", "instance_tokens"),
        ]
        + (
            ["    with a ## label: %s" % share("marked_labels", "masked_tokens")]
            if counts["masked_tokens"]
            else []
        )
    )


def main(_):
    flag_values = cli.FLAGS
    settings = Settings(**{name: getattr(flag_values, name) for name in Settings._fields})
    counts = create_pretraining_data(
        flag_values.input_file, flag_values.output_file, flag_values.vocab_file, settings
    )
    print(format_counts(counts))


if __name__ == "__main__":
    cli.run(main, define_flags)
