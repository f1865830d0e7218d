"""A task's examples, read and encoded once for all that need them."""

import os

from absl import logging

from albert.basics.errors import InputError
from albert.finetuning import records
from albert.finetuning.batches import BatchLayout, EncodedExamples
from albert.finetuning.kind import LOGGED_EXAMPLES
from albert.finetuning.kinds import make_kind
from albert.finetuning.tasks.data_report import SetReport
from albert.model_files import model_folder
from albert.text.encoding import missing_content


class TaskData:
    """The sets of a task, "train", "dev" and "test", each read once.

    Args:
        processor: `DataProcessor` of the task.
        config: model config.
        settings: `FinetuningSettings`.

    Attributes:
        processor: as given.
        kind: `kind.Kind` of the task.
    """

    def __init__(self, processor, config, settings):
        self.processor = processor
        self._settings = settings
        tokenizer = model_folder.create_tokenizer(
            config,
            settings.bert_config_file,
            settings.vocab_file,
            settings.spm_model_file,
            settings.do_lower_case,
            settings.allow_vocab_mismatch,
        )
        self.kind = make_kind(processor, settings, tokenizer)
        self._examples = {}
        self._instances = {}
        self._encoded = {}
        self._cut = {}  # set type -> list of bool: which instances were cut, as far as encoded

    def examples(self, set_type):
        """List of what the task reads; InputError when the file is bad or has none."""
        if set_type not in self._examples:
            data_dir = self._settings.data_dir or ""
            examples = self.processor.get_examples(data_dir, set_type)
            self.processor.check_rows()
            if not examples:
                raise InputError("--data_dir: no %s example in '%s'." % (set_type, data_dir))
            self._examples[set_type] = examples
            self._count_labels(set_type)
        return self._examples[set_type]

    def instances(self, set_type):
        """List of what the model sees at once, see `kind.Kind`."""
        if set_type not in self._instances:
            self._instances[set_type] = self.kind.instances(self.examples(set_type))
        return self._instances[set_type]

    def encoded(self, set_type):
        """`EncodedExamples` of the instances of a set."""
        if set_type not in self._encoded:
            instances = self.instances(set_type)
            self._log(instances)
            length = self._settings.max_seq_length
            self._encoded[set_type] = EncodedExamples(
                instances,
                self._counting(set_type),
                self.kind.features,
                length if self._settings.pad_to_max_length else self.kind.fixed_length,
            )
        return self._encoded[set_type]

    def record_input_fn(self, set_type, is_training, batch_size=1, **order):
        """`input_fn` over a record file of a set, which is always written anew.

        For TPU, which needs files, static shapes and full batches.

        Args:
            batch_size: padding examples fill the last batch of this size.
            order: further arguments of `records.input_fn_builder`.
        """
        length = self._settings.max_seq_length
        path = os.path.join(self._settings.output_dir, set_type + ".tf_record")
        instances = self.instances(set_type)
        self._log(instances)
        layout = BatchLayout(self.kind.features)
        padding = -len(instances) % batch_size
        encoded = map(self._counting(set_type), instances)
        records.write(path, records.padded_rows(layout, encoded, length, padding))
        return records.input_fn_builder(
            path, layout.specs(), length, is_training, drop_remainder=True, **order
        )

    def report(self):
        """What was read of each set, for results.json: `{set type: dict}`.

        Of texts that were cut at --max_seq_length: how many, and their share.
        """
        content = {}
        for set_type, examples in self._examples.items():
            content[set_type] = dict(self._notes(set_type).content(), examples=len(examples))
            cut = self._cut_of(set_type)
            if cut:
                content[set_type].update(texts_cut=sum(cut), share_cut=sum(cut) / len(cut))
        return content

    def describe(self):
        """The same as lines to print."""
        lines = []
        for set_type, examples in self._examples.items():
            notes, cut = self._notes(set_type), self._cut_of(set_type)
            lines.append("%s: %d examples of %s" % (set_type, len(examples), notes.describe()))
            counts = notes.describe_labels()
            if counts:
                lines.append("  labels: %s" % counts)
            if notes.unlabelled:
                lines.append("  read without labels: %s" % notes.unlabelled)
            if cut:
                lines.append(
                    "  cut at --max_seq_length=%d: %d of %d texts (%.1f %%)"
                    % (
                        self._settings.max_seq_length,
                        sum(cut),
                        len(cut),
                        100 * sum(cut) / len(cut),
                    )
                )
            lines += ["  " + warning for warning in notes.warnings()]
        return lines

    def _notes(self, set_type):
        """`SetReport` of a set; an empty one of a task that takes no notes."""
        return self.processor.reports.setdefault(set_type, SetReport(set_type, "read by the task"))

    def _count_labels(self, set_type):
        """Counts real labels, and texts that are empty; warns of what is odd."""
        processor, notes = self.processor, self._notes(set_type)
        notes.empty_texts = sum(map(_lacks_text, self._examples[set_type]))
        has_labels = set_type != "test" or processor.test_has_labels
        if has_labels and not processor.is_regression:
            notes.labels.update(
                example.label for example in self._examples[set_type] if hasattr(example, "label")
            )
        for warning in notes.warnings():
            logging.warning("%s", warning)

    def _counting(self, set_type):
        """The kind's `encode`, which takes note of what was cut."""
        cut = self._cut[set_type] = []

        def encode(instance):
            features = self.kind.encode(instance)
            cut.append(self.kind.is_cut(instance, features))
            return features

        return encode

    def _cut_of(self, set_type):
        """Which instances were cut: of all of a set that the model has seen some of."""
        if set_type in self._encoded:
            self._encoded[set_type].lengths(range(len(self._encoded[set_type])))
        return self._cut.get(set_type, [])

    def _log(self, instances):
        for instance in instances[:LOGGED_EXAMPLES]:
            self.kind.log(instance)


def _lacks_text(example):
    """Whether a model would see nothing of a text of an example; a second one may be left out."""
    text_a, text_b = (getattr(example, name, None) for name in ("text_a", "text_b"))
    if text_a is not None and missing_content(text_a):
        return True
    return bool(text_b and text_b.strip() and missing_content(text_b))
