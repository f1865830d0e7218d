"""Shows the records of a TFRecord file as text that one can read.

    python scripts/inspect_tfrecord.py data/news.tfrecord --records=2

    record 0: 21 tokens, 5 predictions, next_sentence_labels 0
      A: [CLS] 春天来了[MASK→，]小河[解=解][MASK→##冻]了。 [SEP]
      B: 孩子们放[树→风][MASK→##筝]。 [SEP]

    [MASK→label]   a masked token
    [token→label]  one that was replaced by another token (or moved, with do_permutation)
    [token=label]  one that is predicted, but was kept

Labels are exactly those in the vocabulary.  In the text Chinese characters stand together, and so
do a word and its ## pieces; the ▁ of SentencePiece is a space.  Padding is left out.  Records for
fine-tuning, and others that have ``input_ids``, are shown in the same way; all other features by
their numbers.

The vocabulary is the one that FILE.json names, if neither --vocab_file nor --spm_model_file is
given.  Compressed files are recognized.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, flag_table
from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, integer, string
from albert.pretraining_data import inspection

TABLE = (
    string("vocab_file", "Vocabulary, one token per line. Default: the one FILE.json names."),
    string("spm_model_file", "SentencePiece model, instead of --vocab_file."),
    integer("records", "How many records to show.", 5),
    integer("start", "Number of the first one, from 0.", 0, minimum=0),
    boolean(
        "boundaries",
        "Show by %s where words start (%s)." % (inspection.WORD_START, inspection.BOUNDARY),
    ),
)


def define_flags(flag_values):
    """Defines the flags of this script on a `flags.FlagValues`."""
    flag_table.define(flag_values, TABLE)


def main(argv):
    flag_values = cli.FLAGS
    if len(argv) != 2:
        raise InputError("found %d arguments; expected one, a TFRecord file." % (len(argv) - 1))
    try:
        for line in inspection.inspect(
            argv[1],
            flag_values.records,
            flag_values.start,
            flag_values.boundaries,
            flag_values.vocab_file,
            flag_values.spm_model_file,
        ):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads the output has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
