"""Scores sentence pairs with a fine-tuned classifier.

    python similarity.py "句子一" "句子二"
    python similarity.py --input_file=pairs.tsv --output_file=scored.tsv

    from similarity import BertSim
    sim = BertSim()
    sim.start_model()
    sim.predict_sentences([("地铁几点收车", "地铁最晚一班是几点")])  # [[0.02 0.98]]
    sim.similarity("地铁几点收车", "地铁最晚一班是几点")  # 0.98

The folder of the model is `args.output_dir`, or --model_dir.  Any classifier of pairs will do, with
any number of labels, and regressions.
"""

import functools
import heapq

from absl import flags

import classification
from albert.basics import cli
from albert.basics.storage import InputError
from albert.inference import text_files, text_model
from classification import TextClassifier

EXAMPLE_PAIR = ("地铁几点收车", "地铁最晚一班是几点")
SAME = "1"  # label of pairs that mean the same


class BertSim(TextClassifier):
    """Scores pairs of texts; see `text_model.TextModel` for settings and threads.

    An item is a pair (a, b) of texts; an empty b makes it a single text.
    """

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


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    text_model.define_flags(flag_values)
    text_files.define_flags(
        flag_values,
        "TSV file of pairs: two columns of text; more are ignored.",
        "TSV file of the pairs and their scores, or with more than two labels the label and its "
        "probability; default: standard output.",
    )


def main(argv):
    values = flags.FLAGS
    path = values.input_file
    if len(argv) not in (1, 3) or (len(argv) == 3 and path):
        raise InputError('expected two sentences ("句子一" "句子二") or --input_file=pairs.tsv.')
    with BertSim(**text_model.settings_of(values)) as sim:
        if path:
            read = functools.partial(text_files.read_pairs, path, values.encoding_errors)
            classification.score_file(sim, read, path, "pairs", list, values.output_file)
        else:
            sim.predict_sentences([tuple(argv[1:]) or EXAMPLE_PAIR])


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
