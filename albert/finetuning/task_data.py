"""A task's examples, read and encoded once for all that need them."""

import functools
import os

import numpy as np

from albert.basics.errors import InputError
from albert.finetuning.batches import EncodedExamples
from albert.finetuning.classification import features
from albert.finetuning.tasks.base import PaddingInputExample
from albert.model_files import model_folder


class TaskData:
    """The sets of a task, "train", "dev" and "test", each read once.

    Args:
        processor: `DataProcessor` of the task.
        config: model config.
        options: `{flag: value}`.

    Attributes:
        labels: label strings in the order of their ids; `[None]` for a regression.
    """

    def __init__(self, processor, config, options):
        self.processor = processor
        self._options = options
        self._tokenizer = model_folder.create_tokenizer(
            config,
            options.bert_config_file,
            options.vocab_file,
            options.spm_model_file,
            options.do_lower_case,
            options.allow_vocab_mismatch,
        )
        self.labels = processor.get_labels()
        self._examples = {}
        self._encoded = {}

    def examples(self, set_type):
        """List of `InputExample`; InputError when the file is bad or has none."""
        if set_type not in self._examples:
            reader = getattr(self.processor, "get_%s_examples" % set_type)
            examples = reader(self._options.data_dir)
            self.processor.check_rows()
            if not examples:
                raise InputError(
                    "--data_dir: no %s example in '%s'." % (set_type, self._options.data_dir)
                )
            self._examples[set_type] = examples
        return self._examples[set_type]

    def label_ids(self, set_type):
        """Array of label ids, or of numbers for a regression."""
        return features.label_ids_of(self.processor, self.examples(set_type))

    def encoded(self, set_type):
        """`EncodedExamples` of a set."""
        if set_type not in self._encoded:
            self._encoded[set_type] = self._encode(self.examples(set_type))
        return self._encoded[set_type]

    def _encode(self, examples):
        options = self._options
        encode = functools.partial(
            features.encode_example,
            label_list=self.labels,
            max_seq_length=options.max_seq_length,
            tokenizer=self._tokenizer,
        )
        for example in examples[: features.LOGGED_EXAMPLES]:
            features.log_example(example, encode(example), self._tokenizer)
        # The mean over all positions depends on their number.
        fixed = options.pad_to_max_length or options.pooling == "mean"
        return EncodedExamples(
            examples,
            encode,
            np.float32 if self.processor.is_regression else np.int32,
            options.max_seq_length if fixed else None,
        )

    def record_input_fn(self, set_type, is_training, batch_size=1, **settings):
        """`input_fn` over a record file of a set, which is always written anew.

        For TPU, which needs files, static shapes and full batches.

        Args:
            batch_size: padding examples fill the last batch of this size.
            settings: further arguments of `features.file_based_input_fn_builder`.
        """
        length = self._options.max_seq_length
        path = os.path.join(self._options.output_dir, set_type + ".tf_record")
        examples = self.examples(set_type)
        padding = [PaddingInputExample()] * (-len(examples) % batch_size)
        features.file_based_convert_examples_to_features(
            examples + padding, self.labels, length, self._tokenizer, path
        )
        return features.file_based_input_fn_builder(
            path,
            length,
            is_training,
            drop_remainder=True,
            regression=self.processor.is_regression,
            **settings,
        )
