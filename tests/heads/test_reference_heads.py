"""Functions of the references' run_pretraining.py, on the outputs of their models."""

import numpy as np
import pytest

import modeling
import run_pretraining
from albert.basics.tf_compat import tf
from helpers.models import golden_config, load_npz, restored_session


def test_gather_indexes():
    sequences = np.arange(24, dtype=np.float32).reshape([2, 3, 4])
    with tf.Graph().as_default(), tf.Session() as session:
        rows = session.run(
            run_pretraining.gather_indexes(tf.constant(sequences), tf.constant([[2, 0], [1, 1]]))
        )
    np.testing.assert_array_equal(rows, sequences[[0, 0, 1, 1], [2, 0, 1, 1]])


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", ["bm_postln", "google_g1"])
def test_losses_of_a_program_equal_the_reference(golden, name, named):
    """albert_zh's function has the projection among its arguments, google's and BERT's do not."""
    config = golden_config(golden, name)
    expected = load_npz(golden, name, "outputs.npz")
    with tf.Graph().as_default():
        inputs = {
            key: tf.constant(value) for key, value in load_npz(golden, name, "inputs.npz").items()
        }
        model = modeling.BertModel(
            config=config,
            is_training=False,
            input_ids=inputs["input_ids"],
            input_mask=inputs["input_mask"],
            token_type_ids=inputs["segment_ids"],
        )
        arguments = {
            "positions": inputs["masked_lm_positions"],
            "label_ids": tf.cast(inputs["masked_lm_ids"], tf.int64),
            "label_weights": inputs["masked_lm_weights"],
        }
        if config.family == "brightmart":
            arguments = {"project_weights": model.get_embedding_table_2(), **arguments}
        first = config, model.get_sequence_output(), model.get_embedding_table()
        masked = run_pretraining.get_masked_lm_output
        (loss, example_loss, log_probs) = (
            masked(*first, **arguments) if named else masked(*first, *arguments.values())
        )
        order = run_pretraining.get_sentence_order_output
        if config.family == "brightmart":
            order = run_pretraining.get_next_sentence_output
        sop = order(config, model.get_pooled_output(), inputs["next_sentence_labels"])
        with restored_session(golden, name) as session:
            found = session.run([loss, example_loss, log_probs, *sop])
    for key, value in zip(
        (
            "masked_lm_loss",
            "masked_lm_example_loss",
            "masked_lm_log_probs",
            "sop_loss",
            "sop_example_loss",
            "sop_log_probs",
        ),
        found,
    ):
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1e-5, err_msg=key)


def test_a_missing_argument_is_named():
    config = modeling.BertConfig(9, hidden_size=12)
    with tf.Graph().as_default(), pytest.raises(TypeError, match="label_weights"):
        run_pretraining.get_masked_lm_output(
            config, tf.zeros([1, 2, 12]), tf.zeros([9, 12]), tf.zeros([1, 1], tf.int32), None
        )
