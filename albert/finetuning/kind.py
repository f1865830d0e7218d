"""What the runner asks of a kind of task; classification is one, reading or tagging are others.

The runner trains, evaluates, keeps the best checkpoint and predicts, whatever a task asks for.  A
kind says the rest, in four parts:

    encode    what the model sees of an example
    head      from the encoder's output to losses and answers
    metrics   how good the answers are, and which score chooses the best checkpoint
    outputs   the files that are written, and what the output folder must tell of training

A new kind is a subclass of `Kind` in a folder beside classification/, its graph in albert/heads/,
and a line in kinds.py.  Its tasks are subclasses of `tasks.base.DataProcessor` with
`kind = "<name in kinds.py>"`, and `metric` and `eval_keys` of its own.  No other file of the
runner changes.
"""

from typing import Any, Dict, NamedTuple

from absl import logging

from albert.basics.errors import InputError
from albert.finetuning.batches import TEXT_FEATURES
from albert.finetuning.score_files import EVAL_FILE

LOGGED_EXAMPLES = 5  # of every set


class HeadGraph(NamedTuple):
    """What a head makes of a batch; tensors.

    Attributes:
        losses: float32 `[batch_size]`.
        answers: `{name: [batch_size, ...]}`, as `Kind.answers` has them.
        training_scores: `{name: scalar}` for the console, in this order; "loss" is what training
            minimizes.  Empty where the model does not train.
    """

    losses: Any
    answers: Dict[str, Any]
    training_scores: Dict[str, Any]


class Kind:
    """A kind of task, as one run has it; made once, when the task's files are known.

    An *example* is what the task reads: an object with attributes that JSON can say, which tell
    one evaluation's data from another's.  An *instance* is what the model sees at once.  They are
    the same unless `instances` says otherwise.

    Args:
        processor: `DataProcessor` of the task.
        settings: `FinetuningSettings`.
        tokenizer: `tokenization.FullTokenizer`.

    Attributes:
        features: `{name: batches.ArraySpec}` of what `encode` returns.
        fixed_length: tokens to which every batch must be padded, or None where it does not matter.
        new_variables: names of the head's variables, which no pre-training checkpoint has.
        answers: `{name: batches.ArraySpec}` of what `build` answers, of one instance; None in a
            shape stands for the instance's number of tokens, to which the answer is cut.
        score_names: the keys of `scores`.
    """

    features = TEXT_FEATURES
    fixed_length = None
    new_variables = ()
    answers = {}
    score_names = ()

    def __init__(self, processor, settings, tokenizer):
        self.processor = processor
        self.settings = settings
        self.tokenizer = tokenizer

    # Encode

    def instances(self, examples):
        """List of what the model sees at once, such as the windows of a long text.

        Args:
            examples: list; an instance that is not one should know its own.
        """
        return examples

    def encode(self, instance):
        """Features of an instance, without padding.

        Returns:
            Dict of `features`: "input_ids" and "segment_ids", lists of `max_seq_length` ints at
            most, and what `build` needs to know for the losses; of test instances, whose labels
            are unknown, any values.
        """
        raise NotImplementedError

    def is_cut(self, instance, features):
        """Whether `encode` left out a part of the instance's text.

        Args:
            features: what `encode` returned.
        """
        del instance, features
        return False

    def log(self, instance):
        """Logs an instance and what was made of it, for the first few of a set."""
        tokens = self.tokenizer.convert_ids_to_tokens(self.encode(instance)["input_ids"])
        logging.info("Example: tokens: %s", " ".join(tokens))

    # Head

    def encoder_features(self, features):
        """The part of a batch's features that the encoder reads, `[sequences, width]`.

        A kind with several sequences to an instance, such as choices, puts them in rows here.
        """
        return features

    def prepare_training(self, instances):
        """Called before the graph of training is built, with its instances."""

    def build(self, config, model, features, is_training):
        """`HeadGraph` of a batch.

        Args:
            config, model: model config, and the `modeling.BertModel` of `encoder_features`.
            features: dict of tensors, those of `encode` as batches have them.
            is_training: whether there is dropout, and whether training's scores are asked for.
        """
        raise NotImplementedError

    # Metrics

    def scores(self, instances, answers):
        """Scores of a set, `{name: float}`.

        Args:
            instances: list.
            answers: what `build` answered for them, in their order: `{name: array}`, or lists of
                arrays where sizes are the numbers of tokens.
        """
        raise NotImplementedError

    def choose_metric(self, name=None):
        """Key of the score by which checkpoints are chosen: `name`, or the task's.

        Raises:
            InputError: the task has no score of that name.
        """
        name = name or self.processor.metric
        known = sorted([*self.score_names, "eval_loss"])
        if name not in known:
            raise InputError(
                "--best_metric: no score '%s' of this task; expected one of %s."
                % (name, ", ".join(known))
            )
        return name

    def warning(self, config, instances, history):
        """Sentence about a run whose evaluations show that something is wrong, or None.

        Args:
            config: model config.
            instances: those that were evaluated.
            history: list of dicts with "scores", one for each evaluation in training.
        """
        return None

    # Outputs

    def task_entries(self):
        """What `task.json` says of training besides what every task says.

        Evaluation and prediction are refused where it differs.
        """
        return {}

    def evaluation_files(self):
        """Names of the files in which the scores of all checkpoints are written."""
        return [EVAL_FILE]

    def write_report(self, instances, answers, output_dir, prefix):
        """Writes what helps to see where a model is wrong.

        Args:
            instances: list, with real labels.
            answers: see `scores`.
            output_dir: folder, which exists.
            prefix: of the names of the files.
        """

    def write_predictions(self, instances, answers, output_dir):
        """Writes the answers of the test file.

        Args:
            instances: list; labels need not be real.
            answers: see `scores`.
            output_dir: folder, which exists.

        Returns:
            List of the paths written.
        """
        raise NotImplementedError
