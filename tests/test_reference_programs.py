"""Programs written for the references' modules, from their imports to their predictions.

The two usual kinds: a classifier of run_classifier's functions with TPUEstimator, and one with a
head, a `create_model` and a `model_fn_builder` of its own on `modeling.BertModel`, here a tagger
of names.  Where TensorFlow has no estimators the loops are the program's own.
"""

import os

import numpy as np
import pytest

import modeling
import optimization_finetuning
import run_classifier
import tokenization
from albert.basics import storage, tf_compat
from albert.basics.tf_compat import tf
from helpers.models import write_model
from helpers.tasks import TINY_CONFIG, VOCABULARY, write_lines

LENGTH, BATCH_SIZE, STEPS, WARMUP = 12, 8, 30, 3
RATE = 0.005

needs_estimator = pytest.mark.skipif(
    not tf_compat.HAS_TF_ESTIMATOR, reason="TensorFlow has no estimators since 2.16"
)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Config file, vocabulary and checkpoint, as a download has them."""
    folder = tmp_path_factory.mktemp("published") / "model"
    checkpoint, _ = write_model(folder, TINY_CONFIG)
    vocab_file = write_lines(folder / "vocab.txt", VOCABULARY)
    config_file = str(folder / "bert_config.json")
    storage.write_json(config_file, TINY_CONFIG)
    return config_file, vocab_file, checkpoint


def make_estimator(model_fn, model_dir):
    run_config = tf.estimator.tpu.RunConfig(
        cluster=None,
        master=None,
        model_dir=model_dir,
        save_checkpoints_steps=1000,
        tf_random_seed=1,
        tpu_config=tf.estimator.tpu.TPUConfig(iterations_per_loop=10, num_shards=8),
    )
    return tf.estimator.tpu.TPUEstimator(
        use_tpu=False,
        model_fn=model_fn,
        config=run_config,
        train_batch_size=BATCH_SIZE,
        eval_batch_size=BATCH_SIZE,
        predict_batch_size=BATCH_SIZE,
    )


# A classifier: whether a pair of texts is about the weather.


class WeatherProcessor(run_classifier.DataProcessor):
    """A program's own task."""

    def get_train_examples(self, data_dir):
        return self._create_examples(self._read_tsv(os.path.join(data_dir, "train.tsv")), "train")

    def get_labels(self):
        return ["0", "1"]

    def _create_examples(self, lines, set_type):
        examples = []
        for i, line in enumerate(lines):
            examples.append(
                run_classifier.InputExample(
                    guid="%s-%s" % (set_type, i),
                    text_a=tokenization.convert_to_unicode(line[0]),
                    text_b=tokenization.convert_to_unicode(line[1]),
                    label=tokenization.convert_to_unicode(line[2]),
                )
            )
        return examples


@pytest.fixture
def classifier(published, tmp_path):
    """(estimator's model_fn, features): everything up to the estimator of such a program."""
    config_file, vocab_file, checkpoint = published
    rows = ["天气\t怎么样\t1", "手机\t书店\t0", "天天\t天气\t1", "退货\t几点\t0"] * 4
    write_lines(tmp_path / "train.tsv", rows)
    tokenization.validate_case_matches_checkpoint(True, checkpoint)
    bert_config = modeling.BertConfig.from_json_file(config_file)
    processor = WeatherProcessor()
    label_list = processor.get_labels()
    tokenizer = tokenization.FullTokenizer(vocab_file=vocab_file, do_lower_case=True)
    examples = processor.get_train_examples(str(tmp_path))
    features = run_classifier.convert_examples_to_features(examples, label_list, LENGTH, tokenizer)
    model_fn = run_classifier.model_fn_builder(
        bert_config=bert_config,
        num_labels=len(label_list),
        init_checkpoint=checkpoint,
        learning_rate=RATE,
        num_train_steps=STEPS,
        num_warmup_steps=WARMUP,
        use_tpu=False,
        use_one_hot_embeddings=False,
    )
    return model_fn, features


def batches(features, is_training):
    return run_classifier.input_fn_builder(
        features=features, seq_length=LENGTH, is_training=is_training, drop_remainder=is_training
    )


@needs_estimator
@pytest.mark.slow
def test_a_classifier_with_tpu_estimator(classifier, tmp_path):
    model_fn, features = classifier
    estimator = make_estimator(model_fn, str(tmp_path / "model"))
    estimator.train(input_fn=batches(features, True), max_steps=STEPS)
    result = estimator.evaluate(input_fn=batches(features, False), steps=None)
    assert result["global_step"] == STEPS
    assert result["eval_accuracy"] == 1.0
    assert result["eval_loss"] == pytest.approx(result["loss"], rel=1e-5)
    predictions = list(estimator.predict(input_fn=batches(features, False)))
    assert len(predictions) == len(features)
    for row, prediction in zip(features, predictions):
        assert prediction["probabilities"].argmax() == row.label_id
        assert prediction["probabilities"].sum() == pytest.approx(1.0)


def test_the_specs_of_a_classifier(classifier, published):
    """As a loop of the program's own would use them; `init_checkpoint` is loaded."""
    model_fn, features = classifier
    name = "bert/pooler/dense/kernel"
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = batches(features, True)({"batch_size": BATCH_SIZE})
        batch = tf.data.make_one_shot_iterator(dataset).get_next()
        assert batch["input_ids"].shape.as_list() == [BATCH_SIZE, LENGTH]
        spec = model_fn(batch, None, "train", {"batch_size": BATCH_SIZE})
        session.run(tf.global_variables_initializer())
        (kernel,) = (v for v in tf.trainable_variables() if v.op.name == name)
        loaded = session.run(kernel)
        np.testing.assert_array_equal(loaded, tf.train.load_variable(published[2], name))
        first = session.run(spec.loss)
        for _ in range(STEPS):
            session.run(spec.train_op)
        assert session.run(tf.train.get_global_step()) == STEPS
        assert session.run(spec.loss) < 0.5 * first
    with tf.Graph().as_default():
        dataset = batches(features, False)({"batch_size": BATCH_SIZE})
        batch = dict(tf.data.make_one_shot_iterator(dataset).get_next())
        batch["is_real_example"] = tf.zeros_like(batch["label_ids"])
        spec = model_fn(batch, None, "eval", {})
        metrics = spec.eval_metrics[0](*spec.eval_metrics[1])
        assert set(metrics) == {"eval_accuracy", "eval_loss"}


# A tagger: which characters are of a place, with everything of its own but encoder and optimizer.

TAGS = ["O", "PLACE"]
PLACES = frozenset("书店附近")


def tagged(text, tokenizer):
    tokens = ["[CLS]", *tokenizer.tokenize(text)[: LENGTH - 2], "[SEP]"]
    padding = [0] * (LENGTH - len(tokens))
    return {
        "input_ids": tokenizer.convert_tokens_to_ids(tokens) + padding,
        "input_mask": [1] * len(tokens) + padding,
        "segment_ids": [0] * LENGTH,
        "label_ids": [TAGS.index("PLACE") if t in PLACES else 0 for t in tokens] + padding,
    }


def create_model(
    bert_config,
    is_training,
    input_ids,
    input_mask,
    segment_ids,
    labels,
    num_labels,
    use_one_hot_embeddings,
):
    model = modeling.BertModel(
        config=bert_config,
        is_training=is_training,
        input_ids=input_ids,
        input_mask=input_mask,
        token_type_ids=segment_ids,
        use_one_hot_embeddings=use_one_hot_embeddings,
    )
    sequence = model.get_sequence_output()
    width = sequence.shape[-1].value if hasattr(sequence.shape[-1], "value") else sequence.shape[-1]
    weights = tf.get_variable(
        "output_weights",
        [num_labels, width],
        initializer=tf.truncated_normal_initializer(stddev=0.02),
    )
    bias = tf.get_variable("output_bias", [num_labels], initializer=tf.zeros_initializer())
    with tf.variable_scope("loss"):
        if is_training:
            sequence = tf.nn.dropout(sequence, rate=0.1)
        rows = modeling.reshape_to_matrix(sequence)
        logits = tf.nn.bias_add(tf.matmul(rows, weights, transpose_b=True), bias)
        batch_size, length, _ = modeling.get_shape_list(sequence, expected_rank=3)
        logits = tf.reshape(logits, [batch_size, length, num_labels])
        log_probs = tf.nn.log_softmax(logits, axis=-1)
        one_hot = tf.one_hot(labels, depth=num_labels, dtype=tf.float32)
        mask = tf.cast(input_mask, tf.float32)
        losses = -tf.reduce_sum(one_hot * log_probs, axis=-1) * mask
        loss = tf.reduce_sum(losses) / tf.reduce_sum(mask)
        predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return loss, logits, predicted


def load(init_checkpoint):
    tvars = tf.trainable_variables()
    assignment_map, initialized = modeling.get_assignment_map_from_checkpoint(
        tvars, init_checkpoint
    )
    tf.train.init_from_checkpoint(init_checkpoint, assignment_map)
    return [v.name for v in tvars if v.name not in initialized]


def build(bert_config, features, is_training):
    names = ("input_ids", "input_mask", "segment_ids", "label_ids")
    inputs = [features[name] for name in names]
    return create_model(bert_config, is_training, *inputs, len(TAGS), False)


def model_fn_builder(bert_config, init_checkpoint):
    def model_fn(features, labels, mode, params):
        modes, spec = tf.estimator.ModeKeys, tf.estimator.tpu.TPUEstimatorSpec
        loss, _, predicted = build(bert_config, features, mode == modes.TRAIN)
        assert load(init_checkpoint) == ["output_weights:0", "output_bias:0"]
        if mode == modes.TRAIN:
            train_op = optimization_finetuning.create_optimizer(loss, RATE, STEPS, WARMUP, False)
            return spec(mode=mode, loss=loss, train_op=train_op, scaffold_fn=None)
        if mode == modes.EVAL:

            def metric_fn(label_ids, predicted, mask):
                return {"accuracy": tf.metrics.accuracy(label_ids, predicted, weights=mask)}

            tensors = [features["label_ids"], predicted, features["input_mask"]]
            return spec(mode=mode, loss=loss, eval_metrics=(metric_fn, tensors))
        return spec(mode=mode, predictions={"tags": predicted})

    return model_fn


@pytest.fixture
def tagger(published):
    """Config, checkpoint and arrays of a training file."""
    config_file, vocab_file, checkpoint = published
    tokenizer = tokenization.FullTokenizer(vocab_file, do_lower_case=True)
    texts = ["附近有没有书店", "今天天气怎么样", "书店附近", "周末去哪里玩"] * 4
    rows = [tagged(text, tokenizer) for text in texts]
    arrays = {name: np.array([row[name] for row in rows], np.int32) for name in rows[0]}
    return modeling.BertConfig.from_json_file(config_file), checkpoint, arrays


def dataset_of(arrays, is_training):
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    if is_training:
        dataset = dataset.repeat().shuffle(buffer_size=100, seed=1)
    return dataset.batch(BATCH_SIZE, drop_remainder=is_training)


def right_tags(arrays, predicted):
    mask = arrays["input_mask"] == 1
    return np.mean(np.array(predicted)[mask] == arrays["label_ids"][mask])


@needs_estimator
@pytest.mark.slow
def test_a_tagger_with_tpu_estimator(tagger, tmp_path):
    bert_config, checkpoint, arrays = tagger
    estimator = make_estimator(model_fn_builder(bert_config, checkpoint), str(tmp_path))
    estimator.train(input_fn=lambda params: dataset_of(arrays, True), max_steps=STEPS)
    result = estimator.evaluate(input_fn=lambda params: dataset_of(arrays, False))
    assert result["global_step"] == STEPS  # counted once: the schedule ends with training
    assert result["accuracy"] > 0.9
    predictions = estimator.predict(input_fn=lambda params: dataset_of(arrays, False))
    predicted = [prediction["tags"] for prediction in predictions]
    assert right_tags(arrays, predicted) == pytest.approx(result["accuracy"])


def test_a_tagger_with_a_loop_of_its_own(tagger, tmp_path):
    bert_config, checkpoint, arrays = tagger
    prefix = str(tmp_path / "model.ckpt")
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        batch = tf.data.make_one_shot_iterator(dataset_of(arrays, True)).get_next()
        loss, _, _ = build(bert_config, batch, True)
        assert load(checkpoint) == ["output_weights:0", "output_bias:0"]
        train_op = optimization_finetuning.create_optimizer(loss, RATE, STEPS, WARMUP, False)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for _ in range(STEPS):
                session.run(train_op)
            assert session.run(tf.train.get_global_step()) == STEPS
            tf.train.Saver().save(session, prefix)
    with tf.Graph().as_default(), tf.Session() as session:
        batch = {name: tf.constant(value) for name, value in arrays.items()}
        _, _, predicted = build(bert_config, batch, False)
        tf.train.Saver().restore(session, prefix)
        assert right_tags(arrays, session.run(predicted)) > 0.9
