"""Pre-training speed: examples per second of one step, against Hugging Face transformers.

    python benchmarks/bench_pretraining.py --threads=2 --other_python=.venv37/bin/python

Step: forward, backward and optimizer update of albert_tiny on a batch that is already in memory,
in float32 and in bfloat16.  --other_python adds this project under another TensorFlow.
See benchmarks/README.md.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time

import contenders
import numpy as np

OURS, PEER, OTHER = "albert", "transformers", "albert, other Python"
PRECISIONS = ("float32", "bfloat16")
LEARNING_RATE = 1e-4
SHORT_PROB = 0.1  # share of the examples that are shorter than the sequence
NUM_BATCHES = 8
SEED = 12345


def make_batches(batch_size, seq_length, num_predictions, vocab_size):
    """Random examples as dicts of arrays, named as the features of the records."""
    random = np.random.RandomState(SEED)
    shape = [batch_size, seq_length]
    batches = []
    for _ in range(NUM_BATCHES):
        short = random.random_sample(batch_size) < SHORT_PROB
        lengths = np.where(
            short, random.randint(seq_length // 2, seq_length, batch_size), seq_length
        )
        mask = np.arange(seq_length) < lengths[:, None]
        halves = np.arange(seq_length) >= lengths[:, None] // 2
        positions = [
            np.sort(random.permutation(length - 1)[:num_predictions] + 1) for length in lengths
        ]
        batches.append(
            {
                "input_ids": (random.randint(1, vocab_size, shape) * mask).astype(np.int32),
                "input_mask": mask.astype(np.int32),
                "segment_ids": (halves & mask).astype(np.int32),
                "masked_lm_positions": np.array(positions, np.int32),
                "masked_lm_ids": random.randint(
                    1, vocab_size, [batch_size, num_predictions], np.int32
                ),
                "masked_lm_weights": np.ones([batch_size, num_predictions], np.float32),
                "next_sentence_labels": random.randint(0, 2, [batch_size, 1], np.int32),
            }
        )
    return batches


def prepare_ours(threads, batches, precision):
    """Steps of run_pretraining.py with its default optimizer."""
    from absl import flags

    from albert.basics import tf_compat
    from albert.basics.tf_compat import tf
    from albert.model_files import configuration
    from albert.pretraining.flags import define_flags, resolve_flags
    from albert.pretraining.model_fn import model_fn_builder
    from albert.training import estimator

    tf_compat.use_graph_mode()
    config = configuration.load_config(contenders.CONFIG_FILE)
    values = flags.FlagValues()
    define_flags(values)
    values(
        [
            "run_pretraining.py",
            "--do_train",
            "--input_file=none",
            "--output_dir=" + os.path.join(tempfile.gettempdir(), "never_written"),
            "--learning_rate=%g" % LEARNING_RATE,
            "--precision=" + precision,
        ]
    )
    model_fn = model_fn_builder(config, resolve_flags(values, config))

    features = {
        name: tf.placeholder(array.dtype, array.shape, name) for name, array in batches[0].items()
    }
    tf.set_random_seed(SEED)
    spec = model_fn(
        features, None, estimator.ModeKeys.TRAIN, {"batch_size": len(batches[0]["input_ids"])}
    )
    session = tf.Session(
        config=tf.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
        )
    )
    session.run(tf.global_variables_initializer())
    step = session.make_callable([spec.loss, spec.train_op], list(features.values()))
    feeds = itertools.cycle([[batch[name] for name in features] for batch in batches])
    return timed(lambda: step(*next(feeds))[0])


def prepare_peer(threads, batches, precision):
    """Steps of AlbertForPreTraining with AdamW; bfloat16 is torch.autocast's."""
    import torch
    import transformers

    from albert.model_files import configuration

    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    config = configuration.load_config(contenders.CONFIG_FILE)
    model = transformers.AlbertForPreTraining(albert_config(config))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    inputs = itertools.cycle([_peer_inputs(batch) for batch in batches])

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model(**next(inputs)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return timed(step)


def albert_config(config, **settings):
    """The transformers config of the same geometry as `config`."""
    import transformers

    return transformers.AlbertConfig(
        vocab_size=config.vocab_size,
        embedding_size=config.embedding_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        hidden_act="gelu_new",
        hidden_dropout_prob=config.hidden_dropout_prob,
        attention_probs_dropout_prob=config.attention_probs_dropout_prob,
        max_position_embeddings=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        **settings,
    )


def _peer_inputs(batch):
    import torch

    # transformers takes labels of all positions, -100 where nothing is to be predicted.
    labels = np.full_like(batch["input_ids"], -100)
    np.put_along_axis(labels, batch["masked_lm_positions"], batch["masked_lm_ids"], 1)
    arrays = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["input_mask"],
        "token_type_ids": batch["segment_ids"],
        "labels": labels,
        "sentence_order_label": batch["next_sentence_labels"][:, 0],
    }
    return {name: torch.from_numpy(array).long() for name, array in arrays.items()}


def timed(step):
    """Function of a number of steps: seconds for them, and the loss of the last."""

    def measure(steps):
        start = time.perf_counter()
        for _ in range(steps):
            loss = step()
        return time.perf_counter() - start, float(loss)

    return measure


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--seq_length", type=int, default=128)
    parser.add_argument("--num_predictions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="steps in a round")
    parser.add_argument("--other_python", help="one with another TensorFlow, for one more row")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def start(options, batches):
    """`{(name, precision): contender}`."""
    workers = {
        (name, precision): contenders.Contender(prepare, options.threads, batches, precision)
        for precision in PRECISIONS
        for name, prepare in ((OURS, prepare_ours), (PEER, prepare_peer))
    }
    if options.other_python:
        sizes = ("threads", "batch_size", "seq_length", "num_predictions")
        settings = ["--%s=%d" % (name, getattr(options, name)) for name in sizes]
        command = [options.other_python, os.path.abspath(__file__), "--serve", *settings]
        workers[OTHER, "float32"] = contenders.OtherPython(command)
    return workers


def report(options, results):
    """Prints rates and ratios; results are `{(name, precision): [(seconds, loss)]}`.

    A ratio is the median of those of each round, since a machine's speed may change between rounds.
    """
    examples = options.steps * options.batch_size
    rates = {key: [examples / seconds for seconds, _ in found] for key, found in results.items()}
    for key, values in rates.items():
        print(
            "%-21s %-9s %s examples/s, median (range); last loss %.3f"
            % (*key, contenders.median_and_range(values), results[key][-1][1])
        )

    def print_ratio(title, of, to):
        ratios = [value / other for value, other in zip(rates[of], rates[to])]
        print("%-31s %s" % (title, contenders.median_and_range(ratios)))

    for precision in PRECISIONS:
        title = "ratio to transformers, %s" % precision
        print_ratio(title, (OURS, precision), (PEER, precision))
    print_ratio("bfloat16 to float32", (OURS, "bfloat16"), (OURS, "float32"))


def main():
    options = parse_arguments()
    contenders.silence_warnings()

    from albert.model_files import configuration

    config = configuration.load_config(contenders.CONFIG_FILE)
    batches = make_batches(
        options.batch_size, options.seq_length, options.num_predictions, config.vocab_size
    )
    if options.serve:
        contenders.serve(prepare_ours, options.threads, batches, "float32")
        sys.exit()
    print(contenders.describe(options.threads, ["tensorflow", "torch", "transformers", "numpy"]))
    print(
        "work      albert_tiny, batch %d, sequence %d, %d predictions; %d rounds of %d steps"
        % (
            options.batch_size,
            options.seq_length,
            options.num_predictions,
            options.rounds,
            options.steps,
        )
    )
    workers = start(options, batches)
    contenders.take_turns(workers, 2, options.steps)  # compiles, allocates
    results = contenders.take_turns(workers, options.rounds, options.steps)
    for worker in workers.values():
        worker.stop()
    report(options, results)


if __name__ == "__main__":
    main()
