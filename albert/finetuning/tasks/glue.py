"""The tasks of GLUE.

Files lie in a folder of `data_dir` with the task's name there, as in google-research/albert, or in
`data_dir` itself.  cola, mnli and mrpc in `data_dir` itself follow albert_zh's runner: the text
always passes through `preprocess_text`, and `submit_results.tsv` has no header.
"""

import os

from albert.basics import storage
from albert.basics.errors import InputError
from albert.finetuning.tasks.chinese import NLI_LABELS
from albert.finetuning.tasks.files import TsvProcessor

ENTAILMENT_LABELS = ("entailment", "not_entailment")


class GlueProcessor(TsvProcessor):
    """What they have in common.

    Attributes:
        in_albert_zh: whether albert_zh's runner knows the task.
    """

    preprocess = "spm"
    submit_header = "index\tprediction"
    in_albert_zh = False

    files = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
    columns = {"guid": 0, "text_a": 1, "text_b": 2, "label": -1}
    test_columns = {"guid": 0, "text_a": 1, "text_b": 2}
    labels = ("0", "1")

    def find_file(self, data_dir, set_type):
        inside = super().find_file(os.path.join(data_dir, self.folder), set_type)
        outside = super().find_file(data_dir, set_type)
        if storage.exists(inside) or not storage.exists(outside):
            return inside
        if self.in_albert_zh:
            self.preprocess, self.submit_header = "always", ""
        return outside


class ColaProcessor(GlueProcessor):
    """Is the sentence grammatical?"""

    folder = "CoLA"
    in_albert_zh = True
    headers = ("test",)
    columns = {"text_a": 3, "label": 1}
    test_columns = {"guid": 0, "text_a": 1}
    metric = "matthew_corr"
    eval_keys = ("matthew_corr", "eval_accuracy")


class MnliProcessor(GlueProcessor):
    """Natural language inference."""

    folder = "MNLI"
    in_albert_zh = True
    files = {"train": "train.tsv", "dev": "dev_matched.tsv", "test": "test_matched.tsv"}
    columns = {"guid": 0, "text_a": 8, "text_b": 9, "label": -1}
    test_columns = {"guid": 0, "text_a": 8, "text_b": 9}
    labels = NLI_LABELS


class MismnliProcessor(MnliProcessor):
    """MNLI with the dev and test files of other genres."""

    in_albert_zh = False
    files = {"train": "train.tsv", "dev": "dev_mismatched.tsv", "test": "test_mismatched.tsv"}


class AxProcessor(GlueProcessor):
    """GLUE's diagnostics; a test file only, for a model trained on MNLI."""

    folder = "diagnostic"
    files = {"test": "diagnostic.tsv"}
    labels = NLI_LABELS

    def find_file(self, data_dir, set_type):
        if set_type != "test":
            raise InputError(
                "--task_name=ax has no %s file; train with --task_name=mnli and predict ax with "
                "that model as --init_checkpoint." % set_type
            )
        return super().find_file(data_dir, set_type)


class MrpcProcessor(GlueProcessor):
    """Do two sentences mean the same?"""

    folder = "MRPC"
    in_albert_zh = True
    columns = {"label": 0, "text_a": 3, "text_b": 4}
    test_columns = {"guid": 0, "text_a": 3, "text_b": 4}


class RteProcessor(GlueProcessor):
    """Does the first sentence entail the second?"""

    folder = "RTE"
    labels = ENTAILMENT_LABELS


class Sst2Processor(GlueProcessor):
    """Is the opinion positive?"""

    folder = "SST-2"
    columns = {"text_a": 0, "label": 1}
    test_columns = {"guid": 0, "text_a": 1}


class StsbProcessor(GlueProcessor):
    """How similar are two sentences, from 0 to 5?"""

    folder = "STS-B"
    columns = {"guid": 0, "text_a": 7, "text_b": 8, "label": -1}
    test_columns = {"guid": 0, "text_a": 7, "text_b": 8}
    is_regression = True
    metric = "pearson"
    eval_keys = ("MSE", "pearson")


class QqpProcessor(GlueProcessor):
    """Do two questions mean the same?  The published training file has a few short rows."""

    folder = "QQP"
    columns = {"guid": 0, "text_a": 3, "text_b": 4, "label": 5}


class QnliProcessor(GlueProcessor):
    """Does the sentence answer the question?"""

    folder = "QNLI"
    labels = ENTAILMENT_LABELS


class WnliProcessor(GlueProcessor):
    """Does the second sentence, a pronoun of the first resolved, follow?"""

    folder = "WNLI"


TASKS = {
    "cola": ColaProcessor,
    "mnli": MnliProcessor,
    "mismnli": MismnliProcessor,
    "ax": AxProcessor,
    "mrpc": MrpcProcessor,
    "rte": RteProcessor,
    "sst-2": Sst2Processor,
    "sts-b": StsbProcessor,
    "qqp": QqpProcessor,
    "qnli": QnliProcessor,
    "wnli": WnliProcessor,
}
