"""What stands on the encoder of a classifier, as its folder's task.json says."""

from typing import NamedTuple, Optional

# Vector of a sequence that is classified: the pooled first token, the mean over all positions with
# the padding, the mean over the real tokens.
POOLINGS = ("cls", "mean", "masked_mean")


class ClassifierHead(NamedTuple):
    """Shape and habits of a classification head; the graph is built of it, and inference.

    Attributes:
        num_labels: number of outputs; 1 for a regression.
        pooling: one of `POOLINGS`.
        regression: whether the output is a number and not the logits of classes.
        dropout: probability on the pooled vector, in training only.
        fixed_length: length to which sequences must be padded, or None: the mean over all positions
            depends on their number, so it is that of training.
    """

    num_labels: int
    pooling: str = "cls"
    regression: bool = False
    dropout: float = 0.1
    fixed_length: Optional[int] = None

    @classmethod
    def of_task(cls, task, num_labels):
        """The head of a trained classifier.

        Args:
            task: content of task.json; may be empty.
            num_labels: number of outputs of the checkpoint.
        """
        labels = task.get("labels")
        pooling = task.get("pooling", "cls")
        return cls(
            num_labels,
            pooling,
            # Without names of labels one output is a number: a single class would always be sure.
            regression=labels == [None] or (labels is None and num_labels == 1),
            fixed_length=task["max_seq_length"] if pooling == "mean" else None,
        )
