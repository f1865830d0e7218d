"""Classifiers for texts and for pairs: labels, probabilities, decisions."""

import heapq

from albert.basics.errors import InputError
from albert.inference import text_model
from albert.model_files import model_folder, variables

SAME = "1"  # label of pairs that mean the same


class TextClassifier(text_model.TextModel):
    """What BertClassifier and `similarity.BertSim` share: labels, probabilities, decisions.

    Attributes:
        num_labels: int; 1 for a regression; None before the model is loaded.
        is_regression: whether the model gives a number; None before the model is loaded.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.num_labels = self.is_regression = self._labels = None

    @property
    def labels(self):
        """List of the labels' names in the order of the columns, empty for a regression.

        Where the folder does not tell the names they are "0", "1", ...
        """
        if self._labels is None:
            self.start_model()
        return list(self._labels)

    def _head(self, files, config, shapes):
        head = model_folder.classifier_head(files, shapes)
        self._labels = model_folder.label_names(files, head)
        self.num_labels, self.is_regression = head.num_labels, head.regression
        return head, variables.classifier_variables(config, head.num_labels)

    def predict_proba(self, items):
        """Probabilities of the labels.

        Args:
            items: iterable of texts, or of pairs, as the class takes them.

        Returns:
            float32 `[number of items, num_labels]`, in their order; of a regression the numbers.

        Raises:
            InputError: an item is not what the class takes; names its place.
        """
        return self._compute_all(items)

    def iter_predict_proba(self, items):
        """As `predict_proba`, for an iterable without end: yields float32 `[num_labels]`."""
        return self._iter_rows(items)

    def predict(self, items):
        """List of the most probable labels' names; of a regression the numbers, as floats."""
        results = self.predict_proba(items)
        if self.is_regression:
            return results[:, 0].tolist()
        return [self._labels[index] for index in results.argmax(1)]

    def describe(self, result):
        """Strings for a row of `predict_proba`: label and its probability, or the number."""
        if self.is_regression:
            return ["%.6f" % result[0]]
        best = int(result.argmax())
        return [self._labels[best], "%.6f" % result[best]]


class BertClassifier(TextClassifier):
    """Scores single texts; see `text_model.TextModel` for settings and threads."""


class BertSim(TextClassifier):
    """Scores pairs of texts; see `text_model.TextModel` for settings and threads.

    An item is a pair (a, b) of texts; an empty b makes it a single text.
    """

    items_name = "pairs"

    def predict_sentences(self, pairs):
        """As `predict_proba`, and prints the array."""
        results = self.predict_proba(pairs)
        if len(results):
            print(results)
        return results

    def similarity(self, text_a, text_b):
        """Score of one pair, as a float.

        With two labels it is the probability of the one called "1", or of the second where none is
        called so; of a regression it is the number.

        Raises:
            InputError: there are more labels.
        """
        (result,) = self.predict_proba([(text_a, text_b)])
        return float(result[self.score_column()])

    def rank(self, query, candidates, top_k=None):
        """The candidates most similar to a text, best first.

        Args:
            query: first text of every pair.
            candidates: iterable of texts, of any length.
            top_k: how many to return; None: all.

        Returns:
            List of (index, candidate, score as of `similarity`); equal scores by index.

        Raises:
            InputError: as `similarity`, or top_k is below 1.
        """
        if top_k is not None:
            text_model.check_at_least("top_k", top_k, 1)
        scored = self._iter_scored(query, candidates)
        if top_k is None:
            return sorted(scored, key=_score_of, reverse=True)
        return heapq.nlargest(top_k, scored, key=_score_of)

    def describe(self, result):
        """As of the base class; with two labels the score alone."""
        if self.num_labels == 2:
            return ["%.6f" % result[self.score_column()]]
        return super().describe(result)

    def _iter_scored(self, query, candidates):
        text_model.check_iterable(candidates)
        index = 0
        for pairs, results in self.iter_chunks((query, candidate) for candidate in candidates):
            for (_, candidate), score in zip(pairs, results[:, self.score_column()].tolist()):
                yield index, candidate, score
                index += 1

    def score_column(self):
        """Column of `predict_proba` that is the score; InputError as of `similarity`."""
        if self.num_labels > 2:
            raise InputError(
                "%s: a score needs two labels, or a number to predict; this model has %d labels "
                "(%s): use predict or predict_proba."
                % (self.model_dir, self.num_labels, ", ".join(self._labels))
            )
        if SAME in self._labels:
            return self._labels.index(SAME)
        return self.num_labels - 1

    def _split(self, item, place):
        if isinstance(item, (str, bytes)):
            raise InputError(
                "pairs[%d]: expected a pair of texts, found one text, %s."
                % (place, text_model.show(item))
            )
        try:
            text_a, text_b = item
        except (TypeError, ValueError):
            raise InputError(
                "pairs[%d]: expected a pair of texts, found %s." % (place, text_model.show(item))
            ) from None
        text_model.check_text(text_a, "pairs[%d], first text", place)
        text_model.check_text(text_b, "pairs[%d], second text", place, may_be_blank=True)
        return text_a, text_b


def _score_of(scored):
    return scored[2]
