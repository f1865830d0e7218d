"""Scores sentence pairs with a fine-tuned classifier.

    python similarity.py "句子一" "句子二"
    python similarity.py --input_file=pairs.tsv --output_file=scored.tsv

The first prints the score, which is the probability of the label "1", and the probability of each
label.

    from similarity import BertSim
    sim = BertSim()
    sim.start_model()
    sim.predict_sentences([("地铁几点收车", "地铁最晚一班是几点")])  # [[0.02 0.98]]
    sim.similarity("地铁几点收车", "地铁最晚一班是几点")  # 0.98

The folder of the model is `args.output_dir`, or --model_dir.  Any classifier of pairs will do, with
any number of labels, and regressions.
"""

import functools

from absl import flags

from albert.basics import cli
from albert.basics.errors import InputError
from albert.inference import text_files
from albert.inference.classifiers import BertSim
from albert.inference.flags import (
    define_file_flags,
    define_model_flags,
    file_settings,
    model_settings,
)

EXAMPLE_PAIR = ("地铁几点收车", "地铁最晚一班是几点")


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    define_model_flags(flag_values)
    define_file_flags(
        flag_values,
        "TSV file of pairs: two columns of text; more are ignored.",
        "TSV file of the pairs and their scores, or with more than two labels the label and its "
        "probability; default: standard output.",
    )


def main(argv):
    files = file_settings(flags.FLAGS)
    path = files.input_file
    if len(argv) not in (1, 3) or (len(argv) == 3 and path):
        raise InputError('expected two sentences ("句子一" "句子二") or --input_file=pairs.tsv.')
    with BertSim(**model_settings(flags.FLAGS).arguments()) as sim:
        if path:
            read = functools.partial(text_files.read_pairs, path, files.encoding_errors)
            text_files.score_file(sim, read, path, "pairs", list, files.output_file)
        else:
            print_result(sim, tuple(argv[1:]) or EXAMPLE_PAIR)


def print_result(sim, pair):
    """Prints the numbers of a pair with their names, a line each: name, tab, number."""
    (result,) = sim.predict_proba([pair])
    if sim.num_labels <= 2:
        print("score\t%.6f" % result[sim.score_column()])
    for label, probability in zip(sim.labels, result):
        print("label %s\t%.6f" % (label, probability))


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
