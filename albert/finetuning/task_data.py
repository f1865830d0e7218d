"""A task's examples, read and encoded once for all that need them."""

import os

from albert.basics.errors import InputError
from albert.finetuning import records
from albert.finetuning.batches import BatchLayout, EncodedExamples
from albert.finetuning.kind import LOGGED_EXAMPLES
from albert.finetuning.kinds import make_kind
from albert.model_files import model_folder


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

    def examples(self, set_type):
        """List of what the task reads; InputError when the file is bad or has none."""
        if set_type not in self._examples:
            data_dir = self._settings.data_dir or ""
            examples = self.processor.get_examples(data_dir, set_type)
            self.processor.check_rows()
            if not examples:
                raise InputError("--data_dir: no %s example in '%s'." % (set_type, data_dir))
            self._examples[set_type] = examples
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
                self.kind.encode,
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
        encoded = map(self.kind.encode, instances)
        records.write(path, records.padded_rows(layout, encoded, length, padding))
        return records.input_fn_builder(
            path, layout.specs(), length, is_training, drop_remainder=True, **order
        )

    def _log(self, instances):
        for instance in instances[:LOGGED_EXAMPLES]:
            self.kind.log(instance)
