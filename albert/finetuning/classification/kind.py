"""Classification and regression, as a kind of task."""

import numpy as np

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning.batches import ArraySpec
from albert.finetuning.classification import metrics, predictions, reports
from albert.finetuning.classification.features import (
    encode_example,
    full_length,
    label_ids_of,
    log_example,
    specs_of,
)
from albert.finetuning.kind import HeadGraph, Kind
from albert.heads.classification import HEAD_VARIABLES, ClassificationHead


class Classification(Kind):
    """One label, or one number, for each example.

    Attributes:
        labels: label strings in the order of their ids; `[None]` for a regression.
        head: `ClassificationHead`.
    """

    new_variables = HEAD_VARIABLES

    def __init__(self, processor, settings, tokenizer):
        super().__init__(processor, settings, tokenizer)
        self.labels = processor.get_labels()
        # As task.json will say it, so that training and whoever uses the model have one rule.
        task = {
            "labels": self.labels,
            "pooling": settings.pooling,
            "max_seq_length": settings.max_seq_length,
        }
        head = ClassificationHead.of_task(task, len(self.labels))
        self.head = head._replace(dropout=settings.head_dropout)
        self.features = specs_of(processor.is_regression)
        self.fixed_length = self.head.fixed_length
        self.answers = {"probabilities": ArraySpec(np.float32, (self.head.num_labels,))}
        self._class_weights = None

    # Encode

    def encode(self, instance):
        encoded = self._encoded(instance)
        return {
            "input_ids": encoded.input_ids,
            "segment_ids": encoded.segment_ids,
            "label_ids": encoded.label_id,
        }

    def is_cut(self, instance, features):
        length = self.settings.max_seq_length
        # Only a full one can have been cut, so few are looked at twice.
        return len(features["input_ids"]) >= length and (
            full_length(instance, self.tokenizer) > length
        )

    def log(self, instance):
        log_example(instance, self._encoded(instance), self.tokenizer)

    def _encoded(self, example):
        length = self.settings.max_seq_length
        return encode_example(example, self.labels, length, self.tokenizer)

    # Head

    def prepare_training(self, instances):
        """Weighs the classes, if asked for."""
        if self.settings.class_weights == "none":
            return
        label_ids = label_ids_of(self.processor, instances)
        self._class_weights = class_weights(label_ids, len(self.labels))
        shown = ("%s %.3g" % pair for pair in zip(self.labels, self._class_weights))
        print("Class weights: %s." % ", ".join(shown))

    def build(self, config, model, features, is_training):
        outputs = self.head.build(config, model, features, is_training)
        scores = self._training_scores(outputs, features["label_ids"]) if is_training else {}
        answers = {"probabilities": outputs.probabilities}
        return HeadGraph(outputs.example_losses, answers, scores)

    def _training_scores(self, outputs, label_ids):
        loss = outputs.loss
        if self._class_weights is not None:
            weights = tf.gather(tf.constant(self._class_weights, tf.float32), label_ids)
            loss = tf.reduce_mean(outputs.example_losses * weights)
        if self.head.regression:
            return {"loss": loss}
        hits = tf.equal(tf.argmax(outputs.logits, -1, output_type=tf.int32), label_ids)
        return {"loss": loss, "accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}

    # Metrics

    @property
    def score_names(self):
        return metrics.score_names(self.processor, self.head.num_labels)

    def scores(self, instances, answers):
        label_ids = label_ids_of(self.processor, instances)
        return metrics.compute_metrics(self.processor, label_ids, answers["probabilities"])

    def warning(self, config, instances, history):
        label_ids = label_ids_of(self.processor, instances)
        return reports.chance_warning(config, self.settings, label_ids, history)

    # Outputs

    def task_entries(self):
        entries = {"labels": self.processor.get_labels(), "pooling": self.head.pooling}
        return dict(entries, **self.processor.task_entries())

    def evaluation_files(self):
        names = super().evaluation_files()
        return [*names, reports.CLUE_EVAL_FILE] if self.processor.predict_json else names

    def write_report(self, instances, answers, output_dir, prefix):
        reports.write_report(
            self.processor, instances, answers["probabilities"], output_dir, prefix
        )

    def write_predictions(self, instances, answers, output_dir):
        return predictions.write_predictions(
            self.processor,
            self.settings.task_name,
            instances,
            answers["probabilities"],
            self.labels,
            output_dir,
        )


def class_weights(label_ids, num_labels):
    """Weights of the classes in the loss that make every class count the same.

    Weight of a class: examples / (classes that occur * examples of the class), scikit-learn's
    "balanced"; the mean over the examples is 1.  A class without examples has weight 0.

    Args:
        label_ids: ints, one for each training example.

    Returns:
        float32 `[num_labels]`.
    """
    counts = np.bincount(np.asarray(label_ids, np.int64), minlength=num_labels)
    if len(counts) > num_labels:
        raise InputError("label id %d; expected less than %d." % (len(counts) - 1, num_labels))
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts, weights, 0.0).astype(np.float32)
