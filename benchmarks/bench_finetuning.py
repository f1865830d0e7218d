"""Fine-tuning speed: pairs of LCQMC's lengths, against padded batches and a transformers loop.

    python benchmarks/bench_finetuning.py --threads=2

Examples per second of training albert_tiny, from the examples in memory to the updated weights.
See benchmarks/README.md.
"""

import argparse
import functools
import itertools
import statistics
import sys
import tempfile

import contenders
import numpy as np
from bench_pretraining import albert_config, timed
from bench_similarity import make_pairs, write_vocabulary

OURS, PADDED, PEER = "albert", "--pad_to_max_length", "transformers"
MAX_SEQ_LENGTH = 128
BATCH_SIZE = 64
LEARNING_RATE = 1e-4
NUM_STEPS = 100000  # of the schedule; far more than are measured
SEED = 12345
# Batches within which both programs put similar lengths together, at the default number of pairs.
WINDOW = 50


def prepare_ours(threads, pairs, labels, vocab_file, *more_flags):
    """Steps of run_classifier.py: its input, model, optimizer and their defaults."""
    from absl import flags

    import tokenization
    from albert.basics import tf_compat
    from albert.basics.tf_compat import tf
    from albert.finetuning.batches import EncodedExamples, input_fn_builder
    from albert.finetuning.flags import define_flags, own_settings
    from albert.finetuning.kinds import make_kind
    from albert.finetuning.model_fn import model_fn_builder
    from albert.finetuning.tasks.base import InputExample
    from albert.finetuning.tasks.registry import get_processor
    from albert.model_files import configuration
    from albert.training import estimator

    tf_compat.use_graph_mode()
    values = flags.FlagValues()
    define_flags(values)
    values(
        [
            "run_classifier.py",
            "--output_dir=%s/never_written" % tempfile.gettempdir(),
            "--max_seq_length=%d" % MAX_SEQ_LENGTH,
            "--train_batch_size=%d" % BATCH_SIZE,
            "--learning_rate=%g" % LEARNING_RATE,
            *more_flags,
        ]
    )
    settings = own_settings(values)
    kind = make_kind(get_processor("lcqmc"), settings, tokenization.FullTokenizer(vocab_file))
    examples = [InputExample("", *pair, label=str(label)) for pair, label in zip(pairs, labels)]
    pad_to = MAX_SEQ_LENGTH if settings.pad_to_max_length else None
    input_fn = input_fn_builder(
        EncodedExamples(examples, kind.encode, kind.features, pad_to),
        settings.seed,
        length_window=settings.length_window,
    )
    params = {"batch_size": BATCH_SIZE}
    features = tf.data.make_one_shot_iterator(input_fn(params)).get_next()
    model_fn = model_fn_builder(
        configuration.load_config(contenders.CONFIG_FILE),
        settings,
        kind,
        NUM_STEPS,
        NUM_STEPS // 10,
    )
    tf.set_random_seed(SEED)
    spec = model_fn(features, None, estimator.ModeKeys.TRAIN, params)
    session = tf.Session(
        config=tf.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
        )
    )
    session.run(tf.global_variables_initializer())
    step = session.make_callable([spec.loss, spec.train_op])
    return timed(lambda: step()[0])


def prepare_peer(threads, pairs, labels, vocab_file):
    """What transformers' Trainer does in a step with `group_by_length`, without its overhead.

    Its sampler, collator, default optimizer, clipping and schedule.  Token ids are made before.
    """
    import torch
    import transformers
    from transformers.trainer_pt_utils import LengthGroupedSampler

    import tokenization
    from albert.model_files import configuration
    from albert.text.encoding import encode_pair

    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    tokenizer = tokenization.FullTokenizer(vocab_file)
    data = []
    for (text_a, text_b), label in zip(pairs, labels):
        ids, segments = encode_pair(tokenizer, text_a, text_b, MAX_SEQ_LENGTH)
        data.append(
            {
                "input_ids": ids,
                "token_type_ids": segments,
                "attention_mask": [1] * len(ids),
                "label": label,
            }
        )
    sampler = LengthGroupedSampler(BATCH_SIZE, lengths=[len(row["input_ids"]) for row in data])
    loader = torch.utils.data.DataLoader(
        data,
        BATCH_SIZE,
        sampler=sampler,
        collate_fn=transformers.DataCollatorWithPadding(transformers.BertTokenizerFast(vocab_file)),
        drop_last=True,
    )
    batches = itertools.chain.from_iterable(iter(lambda: iter(loader), None))
    config = configuration.load_config(contenders.CONFIG_FILE)
    model = transformers.AlbertForSequenceClassification(
        albert_config(config, num_labels=2, classifier_dropout_prob=0.1)
    )
    model.train()
    optimizer = torch.optim.AdamW(_parameter_groups(model), lr=LEARNING_RATE, fused=True)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, NUM_STEPS // 10, NUM_STEPS)

    def step():
        loss = model(**next(batches)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        return loss.item()

    return timed(step)


def _parameter_groups(model):
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups["bias" not in name and "LayerNorm" not in name].append(parameter)
    return [
        {"params": parameters, "weight_decay": 0.01 if decays else 0.0}
        for decays, parameters in groups.items()
    ]


def whole_windows(text):
    """Number of steps from the command line: only whole windows have batches of all lengths."""
    if not text.isdigit() or int(text) < 1 or int(text) % WINDOW:
        raise argparse.ArgumentTypeError(
            "'%s'; expected a multiple of %d, the batches within which lengths are sorted."
            % (text, WINDOW)
        )
    return int(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=200 * BATCH_SIZE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps",
        type=whole_windows,
        default=WINDOW,
        help="steps in a round; a multiple of %d, the batches within which lengths are sorted"
        % WINDOW,
    )
    parser.add_argument("--padded_steps", type=int, default=12, help="of padded batches")
    options = parser.parse_args()
    contenders.silence_warnings()

    import tokenization
    from albert.text.encoding import encode_pair

    print(contenders.describe(options.threads, ["tensorflow", "torch", "transformers", "numpy"]))
    with tempfile.TemporaryDirectory() as folder:
        vocab_file = write_vocabulary(folder)
        tokenizer = tokenization.FullTokenizer(vocab_file)
        pairs = make_pairs(options.pairs, tokenizer)
        labels = np.random.RandomState(SEED).randint(0, 2, len(pairs)).tolist()
        lengths = [len(encode_pair(tokenizer, *pair, MAX_SEQ_LENGTH)[0]) for pair in pairs]
        print(
            "work      albert_tiny, batch %d, --max_seq_length=%d; %d pairs, tokens: mean %.1f, "
            "5/50/95 %% %d/%d/%d, maximum %d; %d rounds of %d steps (padded: %d)"
            % (
                BATCH_SIZE,
                MAX_SEQ_LENGTH,
                len(pairs),
                np.mean(lengths),
                *np.percentile(lengths, [5, 50, 95]),
                max(lengths),
                options.rounds,
                options.steps,
                options.padded_steps,
            )
        )
        sys.stdout.flush()
        data = (pairs, labels, vocab_file)
        workers = {
            OURS: contenders.Contender(prepare_ours, options.threads, *data),
            PADDED: contenders.Contender(prepare_ours, options.threads, *data, PADDED),
            PEER: contenders.Contender(prepare_peer, options.threads, *data),
        }
        steps = {OURS: options.steps, PADDED: options.padded_steps, PEER: options.steps}
        rates, losses = measure(workers, options.rounds, steps)
        for worker in workers.values():
            worker.stop()
    report(rates, losses)


def measure(workers, rounds, steps):
    """Examples per second of every round, and the last loss, of each contender."""
    turns = {
        name: functools.partial(_rate, worker, steps[name]) for name, worker in workers.items()
    }
    for turn in turns.values():  # compiles, allocates; not counted
        turn()
    results = contenders.take_turns(turns, rounds)
    rates = {name: [rate for rate, _ in values] for name, values in results.items()}
    return rates, {name: values[-1][1] for name, values in results.items()}


def _rate(worker, steps):
    seconds, loss = worker(steps)
    return steps * BATCH_SIZE / seconds, loss


def report(rates, losses):
    """Prints medians over the rounds, and how many times faster the default is."""
    ours = statistics.median(rates[OURS])
    for name in rates:
        print(
            "%-20s%s examples/s, median (range); last loss %.3f%s"
            % (
                name,
                contenders.median_and_range(rates[name]),
                losses[name],
                ""
                if name == OURS
                else "; %s is %.2f times as fast" % (OURS, ours / statistics.median(rates[name])),
            )
        )


if __name__ == "__main__":
    main()
