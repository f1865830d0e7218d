"""Classifies texts with a fine-tuned classifier.

python classification.py --model_dir=tnews_output "今天股市大涨" "球队赢得了比赛"
python classification.py --model_dir=tnews_output --input_file=texts.txt --output_file=out.tsv

from classification import BertClassifier
with BertClassifier(model_dir="tnews_output") as model:
    model.predict(["今天股市大涨", "球队赢得了比赛"])  # names of labels
"""

from absl import flags

from albert.basics import cli
from albert.basics.errors import InputError
from albert.inference import text_files
from albert.inference.classifiers import BertClassifier
from albert.inference.flags import define_file_flags, define_model_flags, model_settings
from albert.inference.text_files import score_file


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    define_model_flags(flag_values)
    define_file_flags(
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

    with BertClassifier(**model_settings(values)) as model:
        if values.input_file:
            path, output = values.input_file, values.output_file
            score_file(model, read, path, "texts", lambda text: [text], output)
        else:
            for text, result in zip(texts, model.predict_proba(texts)):
                print("\t".join([text, *model.describe(result)]))


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
