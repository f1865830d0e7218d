"""Classifies texts with a fine-tuned classifier.

python classification.py --model_dir=tnews_output "今天股市大涨" "球队赢得了比赛"
python classification.py --model_dir=tnews_output --input_file=texts.txt --output_file=out.tsv

from classification import BertClassifier
with BertClassifier(model_dir="tnews_output") as model:
    model.predict(["今天股市大涨", "球队赢得了比赛"])  # names of labels
"""

from absl import flags

from albert.basics import cli
from albert.basics.storage import InputError
from albert.inference import engine, text_files, text_model
from albert.model_files import model_folder, variables


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
        self.num_labels = model_folder.num_labels(files, shapes)
        self._labels = model_folder.label_names(files, self.num_labels)
        self.is_regression = not self._labels
        head = engine.ClassifierHead(
            model_folder.pooling(files), model_folder.fixed_length(files), self.is_regression
        )
        return head, variables.classifier_variables(config, self.num_labels)

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
    """Scores single texts; see `text_model.TextModel` for settings and threads.

    Texts are cut as in training, where `max_seq_length` is not given and the folder tells.
    """

    def _default_length(self, files):
        return files.task.get("max_seq_length", super()._default_length(files))


def score_file(model, read, path, unit, columns_of, output_file):
    """Writes a line for each item of a file, and shows the progress.

    Args:
        model: `TextClassifier`.
        read: function returning an iterator over the items; called twice, first to check them.
        path: the file's name.
        unit: what an item is, in the plural.
        columns_of: function of an item, returning the strings to write before its result.
        output_file: path, or None for the standard output.

    Raises:
        InputError: a line of the file is bad; nothing is written.
    """
    total = text_files.count(read(), path)
    with text_files.open_output(output_file) as output, text_files.progress_bar(total, unit) as bar:
        for chunk, results in model.iter_chunks(read()):
            for item, result in zip(chunk, results):
                output.write("\t".join([*columns_of(item), *model.describe(result)]) + "\n")
            bar.update(len(chunk))


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    text_model.define_flags(flag_values)
    text_files.define_flags(
        flag_values,
        "File with one text in each line; blank lines are left out.",
        "TSV file of texts, labels and their probabilities; default: standard output.",
    )


def main(argv):
    values = flags.FLAGS
    texts = argv[1:]
    if bool(texts) == bool(values.input_file):
        raise InputError('expected texts ("今天天气很好") or --input_file=texts.txt.')

    def read():
        lines = text_files.read_texts(values.input_file, values.encoding_errors)
        return (text for _, text in lines)

    with BertClassifier(**text_model.settings_of(values)) as model:
        if values.input_file:
            path, output = values.input_file, values.output_file
            score_file(model, read, path, "texts", lambda text: [text], output)
        else:
            for text, result in zip(texts, model.predict_proba(texts)):
                print("\t".join([text, *model.describe(result)]))


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
