"""Scores sentence pairs with a fine-tuned classifier.

    python similarity.py "句子一" "句子二"
    python similarity.py --input_file=pairs.tsv > scores.tsv

    from similarity import BertSim
    sim = BertSim()
    sim.start_model()
    sim.predict_sentences([("地铁几点收车", "地铁最晚一班是几点")])  # [[0.02 0.98]]

Column 1 is the probability that the sentences mean the same.

The folder of the model is `args.output_dir`, or --model_dir.
"""

import os

import numpy as np
from absl import flags

import args
import checkpoint_selection
import checkpoint_utils
import classifier_features
import classifier_model
import cli
import configuration
import file_utils
import tokenization
from file_utils import InputError
from tf_compat import tf

EXAMPLE_PAIR = ("地铁几点收车", "地铁最晚一班是几点")


class BertSim:
    """Keeps one session with the model; scoring a pair then takes milliseconds.

    The settings are those of the module `args` when the object is made.
    """

    def __init__(self, batch_size=None, model_dir=None):
        """Takes the number of pairs to score at a time and the model's folder (None: `args`)."""
        self.batch_size = batch_size or args.batch_size
        self.model_dir = model_dir or args.output_dir
        self.max_seq_length = args.max_seq_len
        self.gpu_memory_fraction = args.gpu_memory_fraction
        self.config_file = self._own_file(classifier_model.CONFIG_FILE, args.config_name)
        self.vocab_file = self._own_file(classifier_model.VOCAB_FILE, args.vocab_file)
        self.tokenizer = None
        self.num_labels = None
        self._fixed_length = None
        self._session = None
        self._predict_full = self._predict_padded = None

    def _own_file(self, name, default):
        own = os.path.join(self.model_dir, name)
        return own if os.path.exists(own) else default

    def start_model(self):
        """Loads the model; the first prediction does so by itself.

        Raises:
            InputError: no checkpoint, no classifier, or files that do not belong together.
        """
        if self._session is not None:
            return
        checkpoint = checkpoint_selection.best_checkpoint(
            self.model_dir
        ) or checkpoint_utils.resolve_checkpoint(self.model_dir, "model_dir")
        shapes = checkpoint_utils.read_shapes(checkpoint)
        config = configuration.load_config(self.config_file)
        checkpoint_utils.check_family(shapes, checkpoint, config, self.config_file)
        if "output_weights" not in shapes:
            raise InputError(
                "%s: no classifier (it has no 'output_weights'); fine-tune it first with "
                "run_classifier.py." % checkpoint
            )
        self.num_labels = shapes["output_weights"][0]
        task_file = os.path.join(self.model_dir, classifier_model.TASK_FILE)
        task = file_utils.read_json(task_file) if os.path.exists(task_file) else {}
        self._load_tokenizer(config, task.get("do_lower_case", True))
        self.max_seq_length = min(self.max_seq_length, config.max_position_embeddings)
        pooling = task.get("pooling", "cls")
        if pooling == "mean":
            # The mean over all positions depends on their number: pad as in training.
            self.max_seq_length = self._fixed_length = task["max_seq_length"]
        self._build(config, checkpoint, pooling)

    def _load_tokenizer(self, config, do_lower_case):
        spm_file = self._own_file(classifier_model.SPM_FILE, None)
        self.tokenizer = tokenization.FullTokenizer(self.vocab_file, do_lower_case, spm_file)
        if not spm_file:
            tokenization.check_special_tokens(self.tokenizer.vocab, self.vocab_file)
        configuration.check_vocabulary(
            config, self.config_file, len(self.tokenizer.vocab), spm_file or self.vocab_file
        )

    def _build(self, config, checkpoint, pooling):
        with tf.Graph().as_default():
            input_ids, segment_ids, input_mask = (
                tf.placeholder(tf.int32, [None, None], name)
                for name in ("input_ids", "segment_ids", "input_mask")
            )
            with tf.variable_scope("", reuse=tf.AUTO_REUSE):
                full, padded = (
                    classifier_model.create_model(
                        config,
                        False,
                        input_ids,
                        mask,
                        segment_ids,
                        None,
                        self.num_labels,
                        pooling=pooling,
                    )[-1]
                    for mask in (None, input_mask)
                )
            variables = tf.trainable_variables()
            checkpoint_utils.check_shapes(variables, checkpoint, self.config_file)
            gpu_options = tf.GPUOptions(
                per_process_gpu_memory_fraction=self.gpu_memory_fraction, allow_growth=True
            )
            self._session = tf.Session(config=tf.ConfigProto(gpu_options=gpu_options))
            tf.train.Saver(variables).restore(self._session, checkpoint)
        self._predict_full = self._session.make_callable(full, [input_ids, segment_ids])
        self._predict_padded = self._session.make_callable(
            padded, [input_ids, segment_ids, input_mask]
        )

    def predict(self, sentences):
        """Class probabilities, without printing them.

        Args:
            sentences: iterable of pairs (a, b); an empty b makes it a single sentence.

        Returns:
            float32 `[number of pairs, num_labels]`, in input order; with two labels column 1 is
            the probability that the sentences mean the same.
        """
        self.start_model()
        encoded = [
            classifier_features.encode_pair(
                self.tokenizer, str(text_a), str(text_b), self.max_seq_length
            )
            for text_a, text_b in sentences
        ]
        results = np.zeros([len(encoded), self.num_labels], np.float32)
        # Similar lengths together: hardly any work is spent on padding.
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index][0]))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            results[batch] = self._predict_batch([encoded[index] for index in batch])
        return results

    def _predict_batch(self, encoded):
        lengths = [len(input_ids) for input_ids, _ in encoded]
        width = self._fixed_length or max(lengths)
        input_ids, segment_ids, input_mask = np.zeros([3, len(encoded), width], np.int32)
        for row, (ids, segments) in enumerate(encoded):
            input_ids[row, : len(ids)] = ids
            segment_ids[row, : len(ids)] = segments
            input_mask[row, : len(ids)] = 1
        if min(lengths) == width:
            return self._predict_full(input_ids, segment_ids)
        return self._predict_padded(input_ids, segment_ids, input_mask)

    def predict_sentences(self, sentences):
        """As `predict`, and prints the array."""
        results = self.predict(sentences)
        if len(results):
            print(results)
        return results

    def close(self):
        """Frees the session; the next prediction loads the model again."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_pairs(path):
    """Pairs of a TSV file: columns a and b, more are ignored.

    Raises:
        InputError: a line has no second column.
    """
    pairs = []
    for number, line in enumerate(file_utils.read_lines(path), 1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise InputError(
                "%s, line %d: %d column; expected two, separated by a tab."
                % (path, number, len(columns))
            )
        pairs.append(tuple(columns[:2]))
    return pairs


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    flags.DEFINE_string(
        "model_dir", None, "Folder of the model; default: args.output_dir.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "input_file",
        None,
        "TSV file of pairs; their probability to be similar is added as a column.",
        flag_values=flag_values,
    )


def main(argv):
    values = flags.FLAGS
    if len(argv) not in (1, 3) or (len(argv) == 3 and values.input_file):
        raise InputError('expected two sentences ("句子一" "句子二") or --input_file=pairs.tsv.')
    with BertSim(model_dir=values.model_dir) as sim:
        if values.input_file:
            pairs = read_pairs(values.input_file)
            for (text_a, text_b), probabilities in zip(pairs, sim.predict(pairs)):
                print("%s\t%s\t%.6f" % (text_a, text_b, probabilities[1]))
        else:
            sim.predict_sentences([tuple(argv[1:]) or EXAMPLE_PAIR])


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
