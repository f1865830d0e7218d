"""Chinese classification tasks: LCQMC, sentence pairs, CLUE, XNLI."""

import os

from albert.finetuning.tasks.base import SETS, DataProcessor, InputExample
from albert.finetuning.tasks.files import JsonProcessor, TsvProcessor

NLI_LABELS = ("contradiction", "entailment", "neutral")


class SentencePairProcessor(TsvProcessor):
    """`sentence_pair`: the label comes first."""

    files = {"train": "train_0827.tsv", "dev": "dev_0827.tsv", "test": "test_0827.tsv"}
    columns = {"label": 0, "text_a": 1, "text_b": 2}
    labels = ("0", "1")
    test_has_labels = True


class LcqmcProcessor(SentencePairProcessor):
    """`lcqmc`, also called `lcqmc_pair`."""

    files = {"train": "train.txt", "dev": "dev.txt", "test": "test.txt"}
    columns = {"text_a": 0, "text_b": 1, "label": 2}


class ClueProcessor(JsonProcessor):
    """What the tasks of CLUE have in common."""

    predict_json = True


class AfqmcProcessor(ClueProcessor):
    """Questions to a bank: do two mean the same?"""

    text_a, text_b = "sentence1", "sentence2"
    labels = ("0", "1")


class CmnliProcessor(ClueProcessor):
    """Natural language inference; label `-` marks a line on which the annotators disagreed."""

    text_a, text_b = "sentence1", "sentence2"
    labels = NLI_LABELS
    skipped_label = "-"
    first_index = 1

    def dummy_label(self):
        return "neutral"


class OcnliProcessor(CmnliProcessor):
    """CMNLI's successor; the archive has training files of several sizes."""

    files = dict(CmnliProcessor.files, train=("train.json", "train.50k.json"))


class CslProcessor(ClueProcessor):
    """Are all keywords those of the abstract?"""

    text_a, text_b = "keyword", "abst"
    labels = ("0", "1")

    def texts(self, line):
        words = line.field("keyword", list, "a list of strings")
        if not all(isinstance(word, str) for word in words):
            raise line.error("field 'keyword' holds something else than strings")
        return " ".join(words), line.text("abst")


class IflytekProcessor(ClueProcessor):
    """Which kind of application is described?"""

    text_a = "sentence"
    labels = tuple(map(str, range(119)))


class TnewsProcessor(ClueProcessor):
    """Subject of a headline."""

    text_a = "sentence"
    labels = tuple(str(number) for number in range(100, 117) if number not in (105, 111))


class WscProcessor(ClueProcessor):
    """Does the pronoun, span2, refer to span1?  Both are marked in the text."""

    text_a = "text"
    description = "text, target {span1_text, span1_index, span2_text, span2_index}, label"
    labels = ("true", "false")

    def texts(self, line):
        text = line.text("text")
        target = line.field("target", dict, "an object")
        spans = []
        for name, marks in (("span1", "__"), ("span2", "[]")):
            span, start = target.get(name + "_text"), target.get(name + "_index")
            if not isinstance(span, str) or not isinstance(start, int) or start < 0:
                raise line.error(
                    "target has no %s_text with a %s_index; expected a string and its offset"
                    % (name, name)
                )
            if text[start : start + len(span)] != span:
                raise line.error(
                    "%s_text '%s' is not at character %d of the text" % (name, span, start)
                )
            spans.append((start, len(span), marks))
        characters = list(text)
        # The marks of the first span move the second one; span2 is the first if both start at the
        # same character.
        first, second = spans if spans[1][0] > spans[0][0] else reversed(spans)
        for shift, (start, length, marks) in ((0, first), (2, second)):
            characters.insert(start + shift, marks[0])
            characters.insert(start + shift + length + 1, marks[1])
        return "".join(characters), None


class CopaProcessor(ClueProcessor):
    """Which of two choices is the cause, or the effect?  Two examples for each question."""

    description = "premise, choice0, choice1, question (cause or effect), label (0 or 1)"
    labels = ("0", "1")
    group_size = 2

    def line_examples(self, set_type, index, line, label):
        right = self.check_label(label, line.path, line.number)
        premise = line.text("premise")
        is_cause = _copa_question(line) == "cause"
        examples = []
        for number in ("0", "1"):
            choice = line.text("choice" + number)
            texts = (choice, premise) if is_cause else (premise, choice)
            answer = "1" if set_type != "test" and number == right else "0"
            guid = "%s-%d" % (set_type, 2 * index + int(number))
            examples.append(InputExample(guid, *map(self.prepare, texts), label=answer))
        return examples


class CopaPairProcessor(CopaProcessor):
    """`copa_pair`: both choices in one example; label 1: the first one is right."""

    QUESTIONS = {"cause": "原因是什么呢？", "effect": "造成了什么影响呢？"}
    group_size = 1
    submitted_labels = {"0": "1", "1": "0"}  # number of the choice

    def line_examples(self, set_type, index, line, label):
        right = self.check_label(label, line.path, line.number)
        start = line.text("premise") + self.QUESTIONS[_copa_question(line)]
        texts = [self.prepare(start + line.text("choice" + number)) for number in ("0", "1")]
        answer = self.dummy_label() if set_type == "test" else self.submitted_labels[right]
        return [InputExample("%s-%d" % (set_type, index), *texts, label=answer)]


def _copa_question(line):
    question = line.text("question")
    if question not in ("cause", "effect"):
        raise line.error("question '%s'; expected cause or effect" % question)
    return question


class XnliJsonProcessor(ClueProcessor):
    """XNLI as CLUE packs it."""

    text_a, text_b = "premise", "hypo"
    labels = NLI_LABELS


class XnliTsvProcessor(TsvProcessor):
    """XNLI as published; dev and test files hold all languages."""

    files = {
        "train": os.path.join("multinli", "multinli.train.zh.tsv"),
        "dev": "xnli.dev.tsv",
        "test": "xnli.test.tsv",
    }
    labels = NLI_LABELS
    renamed_labels = {"contradictory": "contradiction"}
    test_has_labels = True
    columns = {"text_a": 0, "text_b": 1, "label": 2}
    why_unused = "is in another language than zh"
    LANGUAGE = 0
    OTHER_COLUMNS = {"label": 1, "text_a": 6, "text_b": 7}

    def _columns(self, set_type):
        return self.columns if set_type == "train" else self.OTHER_COLUMNS

    def is_used(self, set_type, row):
        return set_type == "train" or row[self.LANGUAGE] == "zh"


class XnliProcessor(DataProcessor):
    """`xnli`: reads either layout, whichever lies in the folder."""

    files = {name: (XnliJsonProcessor.files[name], XnliTsvProcessor.files[name]) for name in SETS}
    description = "as CLUE packs it: premise, hypo, label; as published: %s" % (
        "text_a 0, text_b 1, label 2 (dev, test: language 0, label 1, text_a 6, text_b 7)"
    )
    labels = NLI_LABELS
    predict_json = True

    def _examples(self, data_dir, set_type):
        path = self._existing_file(data_dir, set_type)
        layout = XnliTsvProcessor() if path.endswith(".tsv") else XnliJsonProcessor()
        vars(layout).update(vars(self))  # settings, and where dropped rows are noted
        layout.test_has_labels = type(layout).test_has_labels
        examples = layout.get_examples(data_dir, set_type)
        self.test_has_labels = layout.test_has_labels
        return examples


TASKS = {
    "lcqmc": LcqmcProcessor,
    "lcqmc_pair": LcqmcProcessor,
    "sentence_pair": SentencePairProcessor,
    "afqmc": AfqmcProcessor,
    "cmnli": CmnliProcessor,
    "ocnli": OcnliProcessor,
    "csl": CslProcessor,
    "iflytek": IflytekProcessor,
    "tnews": TnewsProcessor,
    "wsc": WscProcessor,
    "cluewsc2020": WscProcessor,
    "copa": CopaProcessor,
    "copa_pair": CopaPairProcessor,
    "xnli": XnliProcessor,
}
