"""Speed of similarity.BertSim, against transformers (PyTorch) and ONNX Runtime.

    python benchmarks/bench_similarity.py --threads=2

Latency of single pairs and throughput, from text to probabilities; start-up, memory, and what a
lower precision costs.  See benchmarks/README.md.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import contenders
import numpy as np
from bench_pretraining import albert_config

PRECISIONS = ("float32", "bfloat16", "int8")
TORCH, ONNX = "transformers", "onnxruntime"
MAX_SEQ_LENGTH = 128
BATCH_SIZE = 64
SEED = 12345

# Tokens of LCQMC's pairs with [CLS] and both [SEP]: cumulative share -> length, linear between.
LENGTH_QUANTILES = ([0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995, 1], [9, 17, 20, 24.6, 28, 38, 50, 75])


def write_model(folder):
    """A randomly initialised classifier, complete as run_classifier.py leaves one."""
    from albert.basics import storage, tf_compat
    from albert.basics.tf_compat import tf
    from albert.heads import classification
    from albert.model_files import configuration, model_folder

    tf_compat.use_graph_mode()
    config = configuration.load_config(contenders.CONFIG_FILE)
    storage.write_json(os.path.join(folder, model_folder.CONFIG_FILE), config.to_dict())
    storage.write_json(
        os.path.join(folder, model_folder.TASK_FILE),
        {
            "task_name": "lcqmc",
            "do_lower_case": True,
            "max_seq_length": MAX_SEQ_LENGTH,
            "pooling": "cls",
        },
    )
    with tf.Graph().as_default():
        tf.set_random_seed(SEED)
        ids = tf.placeholder(tf.int32, [None, None])
        classification.create_model(config, False, ids, ids, ids, None, num_labels=2)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            tf.train.Saver().save(session, os.path.join(folder, "model.ckpt"))


def write_vocabulary(folder):
    """The quick-start vocabulary, filled up to the size that the model expects."""
    from albert.basics import storage
    from albert.model_files import configuration

    source = os.path.join(contenders.ROOT, "albert_config", "quickstart", "vocab.txt")
    tokens = list(storage.read_lines(source))
    size = configuration.load_config(contenders.CONFIG_FILE).vocab_size
    tokens += ["[filler%d]" % number for number in range(size - len(tokens))]
    path = os.path.join(folder, "vocab.txt")
    with storage.atomic_write(path) as handle:
        handle.writelines(token + "\n" for token in tokens)
    return path


def make_pairs(number, tokenizer):
    """Pairs of pieces of real sentences, with LCQMC's lengths."""
    random = np.random.RandomState(SEED)
    lengths = np.interp((np.arange(number) + 0.5) / number, *LENGTH_QUANTILES)
    lengths = np.rint(random.permutation(lengths)).astype(int) - 3
    text = _corpus()
    pairs = []
    for length in lengths:
        share = np.clip(random.normal(0.5, 0.05), 0.3, 0.7)
        first = max(1, round(length * share))
        pairs.append(
            tuple(_piece(text, size, tokenizer, random) for size in (first, length - first))
        )
    return pairs


def _corpus():
    from albert.basics import storage

    folder = os.path.join(contenders.ROOT, "data")
    lines = storage.read_lines(os.path.join(folder, "lcqmc_sample", "train.txt"))
    questions = (text for line in lines for text in line.split("\t")[:2])
    news = storage.read_lines(os.path.join(folder, "news_zh_1.txt"))
    return re.sub(r"\s+", "", "".join([*questions, *news]))


def _piece(text, num_tokens, tokenizer, random):
    """Text of `num_tokens` tokens, from a random place."""
    start = random.randint(len(text) - 20 * num_tokens)
    end = start + num_tokens
    while len(tokenizer.encode(text[start:end])) < num_tokens:
        end += 1
    return text[start:end]


def prepare_ours(threads, folder, precision):
    from albert.inference.classifiers import BertSim

    sim = BertSim(BATCH_SIZE, folder, precision, threads=threads)
    sim.start_model()
    return measure(lambda a, b: sim.predict_proba([(a, b)]), sim.predict_proba)


def prepare_torch(threads, folder):
    import torch

    torch.set_num_threads(threads)
    tokenizer, model = _tokenizer(folder), _model()

    def predict_arrays(arrays):
        with torch.inference_mode():
            inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
            return model(**inputs).logits.softmax(-1).numpy()

    return _measure_peer(tokenizer, predict_arrays)


def prepare_onnx(threads, folder):
    import onnxruntime
    import torch

    tokenizer, model = _tokenizer(folder), _model()
    inputs = dict(tokenizer(["一"], ["二"], return_tensors="pt"))
    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(
        model,
        (inputs,),
        path,
        input_names=list(inputs),
        output_names=["logits"],
        dynamic_axes=dict(
            {name: {0: "batch", 1: "length"} for name in inputs}, logits={0: "batch"}
        ),
        # The other exporter needs one more package, onnxscript.
        dynamo=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict_arrays(arrays):
        (logits,) = session.run(["logits"], arrays)
        exponentials = np.exp(logits - logits.max(-1, keepdims=True))
        return exponentials / exponentials.sum(-1, keepdims=True)

    return _measure_peer(tokenizer, predict_arrays)


def _tokenizer(folder):
    import transformers

    return transformers.BertTokenizerFast(
        os.path.join(folder, "vocab.txt"), do_lower_case=True, model_max_length=MAX_SEQ_LENGTH
    )


def _model():
    import torch
    import transformers

    from albert.model_files import configuration

    torch.manual_seed(SEED)
    config = albert_config(configuration.load_config(contenders.CONFIG_FILE), num_labels=2)
    return transformers.AlbertForSequenceClassification(config).eval()


def _measure_peer(tokenizer, predict_arrays):
    def predict_pair(text_a, text_b):
        encoded = tokenizer([text_a], [text_b], truncation=True, return_tensors="np")
        return predict_arrays(dict(encoded))

    def predict_all(pairs):
        encoded = tokenizer(*map(list, zip(*pairs)), truncation=True)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        order = sorted(range(len(pairs)), key=lengths.__getitem__)
        results = np.zeros([len(pairs), 2], np.float32)
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            results[batch] = predict_arrays(_pad(encoded, batch))
        return results

    return measure(predict_pair, predict_all)


def _pad(encoded, batch):
    arrays = {}
    for name, rows in encoded.items():
        width = max(len(rows[index]) for index in batch)
        arrays[name] = np.zeros([len(batch), width], np.int64)
        for row, index in enumerate(batch):
            arrays[name][row, : len(rows[index])] = rows[index]
    return arrays


def measure(predict_pair, predict_all):
    """Function of pairs: milliseconds for each of them alone; pairs per second of all; results."""

    def run(pairs):
        latencies = []
        for text_a, text_b in pairs:
            start = time.perf_counter()
            predict_pair(text_a, text_b)
            latencies.append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
        results = predict_all(pairs)
        seconds = time.perf_counter() - start
        if not (len(results) == len(pairs) and np.allclose(results.sum(1), 1, atol=1e-5)):
            sys.exit("the predictions are no probabilities")
        return latencies, len(pairs) / seconds, results

    return run


# A new process that does what a user's first program does.
FIRST_ANSWER = """
import resource, sys
from similarity import BertSim
sim = BertSim(model_dir=sys.argv[1])
sim.start_model()
sim.predict_proba([("花呗怎么还款", "如何还花呗")])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def first_answer(folder):
    """Seconds of a process from its start to its end with one pair, and its memory in MB."""
    start = time.perf_counter()
    output = subprocess.check_output(
        [sys.executable, "-c", FIRST_ANSWER, folder], cwd=contenders.ROOT, universal_newlines=True
    )
    return time.perf_counter() - start, float(output)


def check_same_ids(pairs, tokenizer, folder):
    """All contenders must do the same work; returns the lengths of the pairs."""
    from albert.text.encoding import encode_pair

    ours = [encode_pair(tokenizer, text_a, text_b, MAX_SEQ_LENGTH)[0] for text_a, text_b in pairs]
    theirs = _tokenizer(folder)(*map(list, zip(*pairs)), truncation=True)["input_ids"]
    if ours != theirs:
        sys.exit("the tokenizers disagree; the comparison would not be fair")
    return [len(ids) for ids in ours]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    options = parser.parse_args()
    contenders.silence_warnings()

    import tokenization

    packages = ["tensorflow", "torch", "transformers", "tokenizers", "onnxruntime", "numpy"]
    print(contenders.describe(options.threads, packages))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tokenization.FullTokenizer(write_vocabulary(folder))
        write_model(folder)
        pairs = make_pairs(options.pairs, tokenizer)
        lengths = check_same_ids(pairs, tokenizer, folder)
        print(
            "work      albert_tiny, %d pairs in batches of %d; tokens: mean %.1f, "
            "5/50/95 %% %d/%d/%d, maximum %d; %d rounds"
            % (
                len(pairs),
                BATCH_SIZE,
                np.mean(lengths),
                *np.percentile(lengths, [5, 50, 95]),
                max(lengths),
                options.rounds,
            )
        )
        workers = {
            precision: contenders.Contender(prepare_ours, options.threads, folder, precision)
            for precision in options.precisions.split(",")
        }
        for name, prepare in ((TORCH, prepare_torch), (ONNX, prepare_onnx)):
            workers[name] = contenders.Contender(prepare, options.threads, folder)
        contenders.take_turns(workers, 1, pairs[:500])  # loads, compiles, allocates
        results = contenders.take_turns(workers, options.rounds, pairs)
        for worker in workers.values():
            worker.stop()
        starts = [first_answer(folder) for _ in range(options.rounds)]
    report(results)
    report_decisions(results)
    print(
        "import to first answer, median (range): %s s; memory %s MB"
        % tuple(contenders.median_and_range(values) for values in zip(*starts))
    )


def report(results):
    """Prints medians over the rounds, and how they compare with ONNX Runtime's."""
    rows = (
        ("p50 ms", lambda latencies, *_: np.percentile(latencies, 50), False),
        ("p99 ms", lambda latencies, *_: np.percentile(latencies, 99), False),
        ("pairs/s", lambda _, rate, *__: rate, True),
    )
    for title, value, more_is_better in rows:
        values = {name: [value(*result) for result in results[name]] for name in results}
        medians = {name: statistics.median(numbers) for name, numbers in values.items()}
        print("%s, median (range)%s" % (title, " " * (24 - len(title)) + "in onnxruntime's"))
        for name in results:
            ratio = medians[name] / medians[ONNX]
            print(
                "  %-14s%-26s%.2f %s"
                % (
                    name,
                    contenders.median_and_range(values[name]),
                    ratio,
                    "times its rate" if more_is_better else "times its time",
                )
            )


def report_decisions(results):
    """How many decisions of a lower precision are float32's.

    Random weights give all pairs about the same score.  The decision is therefore whether the score
    is above the median, so that both happen equally often.
    """
    scores = {name: results[name][-1][-1][:, 1] for name in results if name in PRECISIONS}
    if PRECISIONS[0] not in scores:
        return
    exact = scores.pop(PRECISIONS[0])
    threshold = np.median(exact)
    for name, reduced in scores.items():
        equal = np.mean((reduced > threshold) == (exact > threshold))
        error = np.abs(reduced - exact).max()
        print(
            "%s: %.2f %% of decisions are float32's; scores differ by at most %.2g, "
            "their standard deviation is %.2g" % (name, 100 * equal, error, exact.std())
        )


if __name__ == "__main__":
    main()
