"""Classifies texts with a fine-tuned classifier.

python classification.py --model_dir=tnews_output "今天股市大涨" "球队赢得了比赛"
python classification.py --model_dir=tnews_output --input_file=texts.txt --output_file=out.tsv

with BertClassifier(model_dir="tnews_output") as model:
    model.predict(["今天股市大涨", "球队赢得了比赛"])  # names of labels
"""

from absl import flags

from albert.basics import cli
from albert.basics.errors import InputError
from albert.inference import text_files
from albert.inference.classifiers import BertClassifier
from albert.inference.flags import (
    define_file_flags,
    define_model_flags,
    file_settings,
    model_settings,
)


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    define_model_flags(flag_values)
    define_file_flags(
        flag_values,
        "File with one text in each line; blank lines are left out.",
        "TSV file of texts, labels and their probabilities; default: standard output.",
    )


def main(argv):
    files = file_settings(flags.FLAGS)
    texts, path = argv[1:], files.input_file
    if bool(texts) == bool(path):
        raise InputError('expected texts ("今天天气很好") or --input_file=texts.txt.')

    def read():
        return (text for _, text in text_files.read_texts(path, files.encoding_errors))

    with BertClassifier(**model_settings(flags.FLAGS).arguments()) as model:
        if path:
            text_files.score_file(
                model, read, path, "texts", lambda text: [text], files.output_file
            )
        else:
            for text, result in zip(texts, model.predict_proba(texts)):
                print("\t".join([text, *model.describe(result)]))


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
