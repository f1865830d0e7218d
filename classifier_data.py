"""The sets of a task, read once and encoded as the flags say."""

import functools

import numpy as np

import classifier_features
import classifier_input
import classifier_metrics
import configuration
import tokenization
from file_utils import InputError

_LOGGED_EXAMPLES = 5


def load_tokenizer(config, options):
    """The tokenizer of the flags; InputError when its vocabulary is not the config's."""
    vocab_file = options["spm_model_file"] or options["vocab_file"]
    tokenizer = tokenization.FullTokenizer(
        options["vocab_file"], options["do_lower_case"], options["spm_model_file"]
    )
    special_tokens = ("[CLS]", "[SEP]") if tokenizer.sp_model else tokenization.SPECIAL_TOKENS
    tokenization.check_special_tokens(tokenizer.vocab, vocab_file, special_tokens)
    configuration.check_vocabulary(
        config,
        options["bert_config_file"],
        len(tokenizer.vocab),
        vocab_file,
        options["allow_vocab_mismatch"],
    )
    return tokenizer


class TaskData:
    """Examples of "train", "dev" and "test".

    Args:
        processor: `DataProcessor` of the task.
        tokenizer: from `load_tokenizer`.
        options: `{flag: value}`.

    Attributes:
        labels: label strings in the order of their ids; `[None]` for a regression.
    """

    def __init__(self, processor, tokenizer, options):
        self.processor = processor
        self.tokenizer = tokenizer
        self.labels = processor.get_labels()
        self._options = options
        self._sets = {}

    def examples(self, set_type):
        """List of `InputExample`; InputError when the file is bad or has none."""
        return self._set(set_type)[0]

    def encoded(self, set_type):
        """`classifier_input.EncodedExamples` of the same."""
        return self._set(set_type)[1]

    def label_ids(self, set_type):
        """Array of label ids, or of numbers for a regression."""
        return classifier_metrics.label_ids_of(self.processor, self.examples(set_type))

    def _set(self, set_type):
        if set_type not in self._sets:
            reader = getattr(self.processor, "get_%s_examples" % set_type)
            examples = reader(self._options["data_dir"])
            self.processor.check_rows()
            if not examples:
                raise InputError("--data_dir: no example in '%s'." % self._options["data_dir"])
            self._sets[set_type] = examples, self._encode(examples)
        return self._sets[set_type]

    def _encode(self, examples):
        options = self._options
        encode = functools.partial(
            classifier_features.encode_example,
            label_list=self.labels,
            max_seq_length=options["max_seq_length"],
            tokenizer=self.tokenizer,
        )
        for example in examples[:_LOGGED_EXAMPLES]:
            classifier_features.log_example(example, encode(example), self.tokenizer)
        # The mean over all positions depends on their number.
        fixed = options["pad_to_max_length"] or options["pooling"] == "mean"
        return classifier_input.EncodedExamples(
            examples,
            encode,
            np.float32 if self.processor.is_regression else np.int32,
            options["max_seq_length"] if fixed else None,
        )
