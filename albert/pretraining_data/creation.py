"""Pre-training records from text files, in memory or in blocks."""

import contextlib
import os

from tqdm import tqdm

from albert.basics import locks, storage
from albert.basics.errors import InputError
from albert.basics.storage import file_size
from albert.pretraining_data import record_encoder
from albert.pretraining_data.corpus import Span
from albert.pretraining_data.descriptions import write_descriptions
from albert.pretraining_data.instances import InstanceMaker
from albert.pretraining_data.streaming import create as create_in_blocks
from albert.pretraining_data.summary import check_not_empty, describe


def output_paths(output_file, input_paths):
    """Splits ``--output_file`` at commas and proves that the files can be written.

    Raises:
        InputError: a folder is missing or not writable, or a file is named twice or is an input.
    """
    paths = storage.split_outputs(output_file)
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
    vocabulary = source.spm_model_file or source.vocab_file
    outputs = output_paths(output_file, [*inputs, vocabulary])
    maker = InstanceMaker(source)
    description = {
        "settings": source.settings.as_dict(),
        "input_files": inputs,
        "encoding_errors": source.encoding_errors,
        "separate_files": source.separate_files,
        "vocab_file": source.spm_model_file or source.vocab_file,
        "vocab_sha256": storage.sha256(source.spm_model_file or source.vocab_file),
        "vocab_size": maker.tokenizer.num_entries,
        "mlm_labels": source.settings.mlm_labels,
        "compression": compression,
        "software": maker.software,
    }
    if streaming:
        return create_in_blocks(inputs, outputs, source, maker, compression, streaming, description)
    return _create_in_memory(inputs, outputs, source.settings, maker, compression, description)


def _create_in_memory(inputs, outputs, settings, maker, compression, description):
    """Exact mode: the reference's records in the reference's order."""
    with contextlib.ExitStack() as stack:
        for path in outputs:
            stack.enter_context(locks.only_writer_of_file(path))
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
        settings,
    )
    write_descriptions(description, outputs, records, summary)
    return summary
