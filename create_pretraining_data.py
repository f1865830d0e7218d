"""Makes TFRecord files for masked-word and sentence-order pre-training from raw text.

    python create_pretraining_data.py --input_file=data/news_zh_1.txt \\
        --output_file=data/news.tfrecord --vocab_file=pretrained/albert_tiny_489k/vocab.txt \\
        --do_whole_word_mask=true --max_seq_length=512 --max_predictions_per_seq=51 \\
        --masked_lm_prob=0.1

Input is UTF-8 text with one sentence per line and a blank line between documents.  Beside each
output a file OUTPUT.json records the settings and what was counted.

By default the whole text is held in memory and the records are those of the reference scripts,
in their order.  For a text larger than memory pass ``--streaming``, which works in blocks.
"""

import contextlib
import os

from absl import flags
from tqdm import tqdm

from albert.basics import cli, storage
from albert.basics.errors import InputError
from albert.basics.storage import file_size
from albert.pretraining_data import record_encoder
from albert.pretraining_data import settings as pretraining_settings
from albert.pretraining_data import streaming as pretraining_streaming
from albert.pretraining_data.corpus import Span
from albert.pretraining_data.descriptions import write_descriptions
from albert.pretraining_data.instances import InstanceMaker, Source
from albert.pretraining_data.summary import check_not_empty, describe, format_summary

_INPUT_FILE_MODES = ("r", "rb")  # Google's flag; rb drops what is not UTF-8


def define_flags(flag_values):
    """Defines the flags of this script on a `flags.FlagValues`."""
    string, _, boolean = cli.flag_definers(flag_values)

    def choice(name, meaning, values, default):
        flags.DEFINE_enum(name, default, values, meaning, flag_values=flag_values)

    string("input_file", "Text files: comma-separated names or globs.")
    string("output_file", "TFRecord files, comma-separated; records go to them in turn.")
    string("vocab_file", "Vocabulary, one token per line.")
    string("spm_model_file", "SentencePiece model, instead of --vocab_file (recipe google).")
    flags.mark_flags_as_required(["input_file", "output_file"], flag_values=flag_values)
    cli.define_encoding_errors(flag_values, default=None)  # not given: --input_file_mode decides
    choice("input_file_mode", "rb is --encoding_errors=ignore.", _INPUT_FILE_MODES, None)
    boolean("separate_files", "The end of a file ends a document, too, not only a blank line.")
    choice("compression", "Of the output.", record_encoder.COMPRESSIONS, "none")
    pretraining_settings.define_recipe_flags(flag_values)
    pretraining_streaming.define_streaming_flags(flag_values)


def output_paths(output_file, input_paths):
    """Splits ``--output_file`` at commas and proves that the files can be written.

    Raises:
        InputError: a folder is missing or not writable, or a file is named twice or is an input.
    """
    paths = output_file.split(",")
    taken = {os.path.realpath(path) for path in input_paths}
    for path in paths:
        if storage.is_remote(path):
            continue
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise InputError("--output_file: the folder '%s' of '%s' is missing." % (folder, path))
        if not path or os.path.isdir(path):
            raise InputError("--output_file: '%s' is not the name of a file." % path)
        if os.path.realpath(path) in taken:
            raise InputError("--output_file: '%s' is an input, or is named twice." % path)
        taken.add(os.path.realpath(path))
        storage.prepare_output_dir(folder, "output_file")
    return paths


def check_source(source):
    """Raises InputError if the vocabulary's flags do not fit the recipe."""
    if source.spm_model_file and source.settings.recipe != "google":
        raise InputError(
            "--spm_model_file belongs to --recipe=google, but --recipe is %s; pass --vocab_file."
            % source.settings.recipe
        )
    if not (source.vocab_file or source.spm_model_file):
        raise InputError("--vocab_file is required (or, with --recipe=google, --spm_model_file).")


def create_pretraining_data(input_file, output_file, source, compression="none", streaming=None):
    """Does what the script does.

    Args:
        input_file: comma-separated names or globs of text files.
        output_file: comma-separated names; each NAME.json is written too.
        source: `instances.Source`.
        compression: "none" or "gzip".
        streaming: None, or `streaming.Streaming`.

    Returns:
        Dictionary of what was counted, see `summary.describe`.

    Raises:
        InputError: a file, a value or the text is not usable; nothing is written then.
    """
    check_source(source)
    inputs = storage.match_files(input_file)
    outputs = output_paths(output_file, inputs)
    maker = InstanceMaker(source)
    description = {
        "settings": source.settings.as_dict(),
        "input_files": inputs,
        "encoding_errors": source.encoding_errors,
        "separate_files": source.separate_files,
        "vocab_file": source.spm_model_file or source.vocab_file,
        "vocab_sha256": storage.sha256(source.spm_model_file or source.vocab_file),
        "vocab_size": len(maker.tokenizer.vocab),
        "mlm_labels": source.settings.mlm_labels,
        "compression": compression,
        "software": maker.software,
    }
    if streaming:
        return pretraining_streaming.create(
            inputs, outputs, source, maker, compression, streaming, description
        )
    return _create_in_memory(inputs, outputs, source.settings, maker, compression, description)


def _create_in_memory(inputs, outputs, settings, maker, compression, description):
    """Exact mode: the reference's records in the reference's order."""
    with contextlib.ExitStack() as stack:
        writers = stack.enter_context(record_encoder.record_writers(outputs, compression))

        def bar(title, total, **options):
            return stack.enter_context(tqdm(desc=title, total=total, disable=None, **options))

        reading = bar("reading", sum(map(file_size, inputs)), unit="B", unit_scale=True)
        batch = maker.make(
            list(map(Span, inputs)),
            *maker.seeds(),
            reading.update,
            lambda total: bar("instances", total, unit=" documents").update,
        )
        check_not_empty(batch.number, batch.text_counter.counts)
        instances = tqdm(batch.instances, "writing", batch.number, unit=" instances", disable=None)
        records = record_encoder.write_instances(instances, maker.encoder, writers)
    summary = describe(
        batch.text_counter.counts + batch.instance_counter.counts,
        batch.instance_counter.lengths,
        batch.text_counter.unknown_characters,
        settings.max_seq_length,
    )
    write_descriptions(description, outputs, records, summary)
    return summary


def source_from_flags(flag_values):
    """Returns a `Source`; raises InputError if a flag does not belong to the recipe."""
    names = pretraining_settings.ALL_NAMES
    settings = pretraining_settings.make_settings(
        flag_values.recipe, **{name: getattr(flag_values, name) for name in names}
    )
    errors = flag_values.encoding_errors
    if flag_values.input_file_mode:
        if settings.recipe != "google":
            raise InputError(
                "--input_file_mode belongs to --recipe=google, but --recipe is %s; pass "
                "--encoding_errors." % settings.recipe
            )
        if errors:
            raise InputError("--input_file_mode and --encoding_errors say the same; pass one.")
        errors = "ignore" if flag_values.input_file_mode == "rb" else "strict"
    return Source(
        settings,
        flag_values.vocab_file,
        flag_values.spm_model_file,
        errors or "strict",
        flag_values.separate_files,
    )


def main(_):
    flag_values = cli.FLAGS
    summary = create_pretraining_data(
        flag_values.input_file,
        flag_values.output_file,
        source_from_flags(flag_values),
        flag_values.compression,
        pretraining_streaming.from_flags(flag_values),
    )
    print(format_summary(summary))


if __name__ == "__main__":
    cli.run(main, define_flags)
