"""What is in pre-training data: counted while it is made, written beside it, printed."""

import collections
from array import array

import numpy as np
from absl import logging

from albert.basics.errors import InputError
from albert.text import word_segmentation

_MOST_UNKNOWN = 20
_COUNTED_AT_ONCE = 1 << 18  # predictions; what is kept of them until then takes 2 MB
_BARS = 8  # of the histogram of lengths
_BAR_WIDTH = 40
_MOST_LOST = 0.1  # share of the tokens; above it there is a warning


_LEFT_OUT = (
    ("empty_documents", "documents without a token, left out"),
    ("lines_without_tokens", "lines without a token, left out"),
    ("invalid_lines", "lines with bytes that are not UTF-8, changed by --encoding_errors"),
    ("dropped_characters", "control and other invisible characters, dropped"),
)


class InstanceCounter:
    """Counts instances.

    Attributes:
        counts: `collections.Counter`; tokens include ``[CLS]`` and ``[SEP]``.
        lengths: `collections.Counter`: tokens in an instance -> instances.
    """

    def __init__(self, vocab, mask_id):
        self.counts = collections.Counter()
        self.lengths = collections.Counter()
        self._mask_id = mask_id
        self._marked = np.zeros(max(vocab.values()) + 1, bool)
        for token, index in vocab.items():
            self._marked[index] = word_segmentation.is_marked_chinese(token)

    def watch(self, instances):
        """Yields the instances and counts them."""
        lengths, labels, seen = array("H"), array("i"), array("i")
        for instance in instances:
            yield instance
            input_ids = instance.input_ids
            lengths.append(len(input_ids))
            labels.extend(array("i", instance.masked_lm_ids))
            seen.extend(array("i", [input_ids[i] for i in instance.masked_lm_positions]))
            self.counts["swapped_instances"] += instance.next_sentence_label
            if len(labels) > _COUNTED_AT_ONCE:
                self._count(lengths, labels, seen)
                lengths, labels, seen = array("H"), array("i"), array("i")
        self._count(lengths, labels, seen)

    def _count(self, lengths, labels, seen):
        """Counts instances by their lengths, and predictions by labels and by what is seen."""
        self.lengths.update(lengths)
        self.counts.update(
            instances=len(lengths),
            instance_tokens=sum(lengths),
            masked_tokens=len(labels),
            marked_labels=int(self._marked[np.frombuffer(labels, np.int32)].sum()),
            mask_tokens=int((np.frombuffer(seen, np.int32) == self._mask_id).sum()),
        )


def describe(counts, lengths, unknown_characters, settings):
    """Puts counts into a dictionary that can be written as JSON; warns where much is lost.

    Args:
        counts: `collections.Counter` of all that was counted.
        lengths: see `InstanceCounter`.
        unknown_characters: see `corpus.TextCounter`.
        settings: `settings.RecipeSettings`.
    """
    names = (
        "documents",
        "single_sentence_documents",
        "empty_documents",
        "sentences",
        "long_sentences",
        "lines_without_tokens",
        "invalid_lines",
        "dropped_characters",
        "tokens",
        "unknown_tokens",
        "instances",
        "instance_tokens",
        "masked_tokens",
        "mask_tokens",
        "marked_labels",
        "swapped_instances",
    )
    summary = {name: counts[name] for name in names}
    for name, whole in (("lost_documents", "documents"), ("lost_tokens", "tokens")):
        # The same in each pass, but for the chance of where it is cut: the mean.
        summary[name] = counts[name] / settings.dupe_factor
        summary[name + "_share"] = summary[name] / max(summary[whole], 1)
    summary["length_histogram"] = _histogram(lengths, settings.max_seq_length)
    ordered = sorted(unknown_characters.items(), key=lambda item: (-item[1], item[0]))
    summary["unknown_characters"] = dict(ordered[:_MOST_UNKNOWN])
    if summary["lost_tokens_share"] > _MOST_LOST:
        logging.warning("%s", _format_loss(summary, settings.max_seq_length))
    return summary


def _format_loss(summary, max_seq_length):
    """Sentence that says how much of the text no instance holds, and what that may come from."""
    return (
        "%.2f%% of the tokens are in no instance of a pass over the text (%d of %d). Lines longer "
        "than an instance of --max_seq_length=%d: %d; documents of a single line: %d; the rest did "
        "not fit behind the other lines of its instance. Expected one sentence per line and a "
        "blank line between documents; shorter lines or a larger --max_seq_length lose less."
        % (
            100 * summary["lost_tokens_share"],
            round(summary["lost_tokens"]),
            summary["tokens"],
            max_seq_length,
            summary["long_sentences"],
            summary["single_sentence_documents"],
        )
    )


def check_not_empty(instances, counts):
    """Raises InputError if no instance was made."""
    if not instances:
        too_long = ""
        if counts["long_sentences"]:
            too_long = ", %d of them longer than an instance" % counts["long_sentences"]
        raise InputError(
            "--input_file: no instance can be made of %d documents with %d sentences%s; at least "
            "one document must have two sentences (one sentence per line, a blank line between "
            "documents)." % (counts["documents"], counts["sentences"], too_long)
        )


def _histogram(lengths, max_seq_length):
    """Instances for each eighth of the longest length: dictionary "from-to" -> number."""
    edges = [max_seq_length * bar // _BARS for bar in range(_BARS + 1)]
    histogram = {}
    for low, high in zip(edges, edges[1:]):
        numbers = (number for length, number in lengths.items() if low < length <= high)
        histogram["%d-%d" % (low + 1, high)] = sum(numbers)
    return histogram


def format_summary(summary):
    """Returns the summary of a run as lines of text."""

    def share(part, whole):
        percent = 100.0 * summary[part] / summary[whole] if summary[whole] else 0.0
        return "%d (%.2f%%)" % (round(summary[part]), percent)

    lines = [
        "documents: %d" % summary["documents"],
        "  of one sentence: %s" % share("single_sentence_documents", "documents"),
        "  in no instance: %s" % share("lost_documents", "documents"),
        "sentences: %d" % summary["sentences"],
        "  longer than an instance: %s" % share("long_sentences", "sentences"),
        "tokens: %d" % summary["tokens"],
        "  in no instance of a pass: %s" % share("lost_tokens", "tokens"),
        "  unknown: %s" % share("unknown_tokens", "tokens"),
    ]
    if summary["unknown_characters"]:
        unknown = summary["unknown_characters"].items()
        lines.append(
            "  most frequent unknown characters: "
            + ", ".join("%s (U+%04X) %d" % (c, ord(c), number) for c, number in unknown)
        )
    # What hardly any text has.
    lines += ["%s: %d" % (meaning, summary[name]) for name, meaning in _LEFT_OUT if summary[name]]
    lines += [
        "instances: %d" % summary["instances"],
        "  labelled 1 (swapped segments): %s" % share("swapped_instances", "instances"),
        "tokens in instances: %d" % summary["instance_tokens"],
        "  to predict: %s" % share("masked_tokens", "instance_tokens"),
        "    seen as [MASK]: %s" % share("mask_tokens", "masked_tokens"),
        "    with a ## Chinese label: %s" % share("marked_labels", "masked_tokens"),
        "instances by length:",
    ]
    histogram = summary["length_histogram"]
    most = max(histogram.values()) or 1
    for name, number in histogram.items():
        bar = "#" * round(_BAR_WIDTH * number / most)
        lines.append("  %11s %9d %s" % (name, number, bar))
    return "\n".join(lines)
