"""What stands on the encoder of a classifier, as its folder's task.json says."""

from typing import NamedTuple, Optional

# Which vector of a sequence is classified, by the values of --pooling and of task.json.
FIRST_TOKEN = "cls"  # behind the pooler
MEAN_WITH_PADDING = "mean"  # over all positions, however many of them are padding
MEAN_OF_TOKENS = "masked_mean"  # over the real ones
POOLINGS = (FIRST_TOKEN, MEAN_WITH_PADDING, MEAN_OF_TOKENS)

# Of the vector, in training; fixed in the published recipes, whatever the config says.
HEAD_DROPOUT = 0.1


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
    pooling: str = FIRST_TOKEN
    regression: bool = False
    dropout: float = HEAD_DROPOUT
    fixed_length: Optional[int] = None

    @classmethod
    def of_task(cls, task, num_labels):
        """The head of a trained classifier.

        Args:
            task: content of task.json; may be empty.
            num_labels: number of outputs of the checkpoint.
        """
        labels = task.get("labels")
        pooling = task.get("pooling", FIRST_TOKEN)
        return cls(
            num_labels,
            pooling,
            # Without names of labels one output is a number: a single class would always be sure.
            regression=labels == [None] or (labels is None and num_labels == 1),
            fixed_length=task["max_seq_length"] if pooling == MEAN_WITH_PADDING else None,
        )
