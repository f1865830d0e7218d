"""Layers as programs written for BERT's and ALBERT's modeling.py call them.

Each is called by the reference's names and compared with the definition, in NumPy.
"""

import numpy as np
import pytest

import modeling
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from helpers.models import trainable

RANDOM = np.random.RandomState(3)


def values(*shape):
    return RANDOM.randn(*shape).astype(np.float32)


def normalized(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def run(build):
    """What `build()` computes and its variables, started from random numbers, by name."""
    with tf.Graph().as_default(), tf.Session() as session:
        fetches = build()
        session.run(tf.global_variables_initializer())
        variables = tf.trainable_variables()
        for variable in variables:
            variable.load(values(*variable.shape.as_list()), session)
        weights = {modeling.variable_name(v): session.run(v) for v in variables}
        return session.run(fetches), weights


def names():
    return [name for name, _ in trainable()]


def two_norms(reuse, **arguments):
    with tf.Graph().as_default():
        with tf.variable_scope("block", reuse=reuse):
            modeling.layer_norm(input_tensor=tf.zeros([2, 8]), **arguments)
            modeling.layer_norm(tf.zeros([2, 8]), **arguments)
        return names()


@pytest.mark.parametrize("reuse", [None, False, tf.AUTO_REUSE])
@pytest.mark.parametrize("arguments", [{}, {"name": None}])
def test_unnamed_norms_of_a_scope_have_their_own_variables(reuse, arguments):
    assert two_norms(reuse, **arguments) == [
        "block/LayerNorm/beta",
        "block/LayerNorm/gamma",
        "block/LayerNorm_1/beta",
        "block/LayerNorm_1/gamma",
    ]


def test_named_norms_share_theirs():
    assert two_norms(tf.AUTO_REUSE, name="norm") == ["block/norm/beta", "block/norm/gamma"]
    with pytest.raises(ValueError, match="block/norm/beta already exists"):
        two_norms(False, name="norm")


def test_unnamed_norms_of_a_scope_entered_again_are_those_of_the_first_time():
    with tf.Graph().as_default():
        for _ in range(2):
            with tf.variable_scope("tower", reuse=tf.AUTO_REUSE):
                modeling.layer_norm_and_dropout(tf.zeros([2, 8]), 0.1)
                modeling.layer_norm(tf.zeros([2, 8]))
        assert len(names()) == 4


def test_unnamed_norm_after_a_named_one():
    """Explicit names count, too."""
    with tf.Graph().as_default():
        modeling.layer_norm(tf.zeros([2, 8]), "LayerNorm")
        modeling.layer_norm(tf.zeros([2, 8]))
        assert names()[2:] == ["LayerNorm_1/beta", "LayerNorm_1/gamma"]


def test_layer_norm_and_dropout():
    x = values(3, 8)
    output, weights = run(lambda: modeling.layer_norm_and_dropout(tf.constant(x), 0.0, name=None))
    expected = normalized(x) * weights["LayerNorm/gamma"] + weights["LayerNorm/beta"]
    np.testing.assert_allclose(output, expected, atol=1e-5)
    dropped, _ = run(lambda: modeling.dropout(tf.ones([4, 100]), dropout_prob=0.5))
    assert set(np.unique(dropped)) == {0.0, 2.0}


@pytest.mark.parametrize("named", [False, True])
def test_embedding_postprocessor(named):
    x, types = values(2, 3, 8), np.int32([[0, 1, 2], [1, 0, 0]])

    def build():
        if not named:
            return modeling.embedding_postprocessor(
                tf.constant(x), True, tf.constant(types), 2, "types", True, "places", 0.02, 5, 0.0
            )
        return modeling.embedding_postprocessor(
            input_tensor=tf.constant(x),
            use_token_type=True,
            token_type_ids=tf.constant(types),
            token_type_vocab_size=2,
            token_type_embedding_name="types",
            use_position_embeddings=True,
            position_embedding_name="places",
            initializer_range=0.02,
            max_position_embeddings=5,
            dropout_prob=0.0,
            use_one_hot_embeddings=False,
        )

    output, weights = run(build)
    table = np.concatenate([weights["types"], np.zeros([1, 8], np.float32)])  # type 2: adds nothing
    expected = normalized(x + table[types] + weights["places"][:3])
    expected = expected * weights["LayerNorm/gamma"] + weights["LayerNorm/beta"]
    np.testing.assert_allclose(output, expected, atol=1e-5)


def test_embedding_postprocessor_with_less():
    x = values(2, 3, 8)
    output, weights = run(
        lambda: modeling.embedding_postprocessor(
            tf.constant(x), use_position_embeddings=False, dropout_prob=0.0
        )
    )
    assert set(weights) == {"LayerNorm/beta", "LayerNorm/gamma"}
    expected = normalized(x) * weights["LayerNorm/gamma"] + weights["LayerNorm/beta"]
    np.testing.assert_allclose(output, expected, atol=1e-5)
    with tf.Graph().as_default():
        modeling.embedding_postprocessor(tf.constant(x))
        assert trainable()[0] == ["position_embeddings", [512, 8]]
    with tf.Graph().as_default(), pytest.raises(ValueError, match="use_token_type"):
        modeling.embedding_postprocessor(tf.constant(x), use_token_type=True)
    with tf.Graph().as_default(), pytest.raises(InputError, match="length 3 .* 2"):
        modeling.embedding_postprocessor(tf.constant(x), max_position_embeddings=2)


def test_several_ids_at_a_position():
    ids = np.int32([[[0, 1], [2, 3]]])
    (output, table), _ = run(lambda: modeling.embedding_lookup(tf.constant(ids), 4, 3))
    np.testing.assert_array_equal(output, [[[*table[0], *table[1]], [*table[2], *table[3]]]])


def attended(query_input, key_input, mask, weights, heads):
    def split(name, x):
        projected = x @ weights[name + "/kernel"] + weights[name + "/bias"]
        return projected.reshape([*x.shape[:2], heads, -1]).transpose([0, 2, 1, 3])

    query, key, value = (
        split(name, x)
        for name, x in (("query", query_input), ("key", key_input), ("value", key_input))
    )
    scores = query @ key.transpose([0, 1, 3, 2]) / np.sqrt(query.shape[-1])
    context = softmax(scores - 10000.0 * (1 - mask[:, None])) @ value
    return context.transpose([0, 2, 1, 3]).reshape([*query_input.shape[:2], -1])


@pytest.mark.parametrize("matrix_in", [False, True])
@pytest.mark.parametrize("matrix_out", [False, True])
def test_attention_layer(matrix_in, matrix_out):
    from_value, to_value = values(2, 3, 8), values(2, 5, 8)
    to_mask = np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])

    def build():
        from_tensor, to_tensor = tf.constant(from_value), tf.constant(to_value)
        mask = modeling.create_attention_mask_from_input_mask(from_tensor, tf.constant(to_mask))
        sizes = {}
        if matrix_in:
            from_tensor = modeling.reshape_to_matrix(from_tensor)
            to_tensor = modeling.reshape_to_matrix(to_tensor)
            sizes = dict(batch_size=2, from_seq_length=3, to_seq_length=5)
        output = modeling.attention_layer(
            from_tensor=from_tensor,
            to_tensor=to_tensor,
            attention_mask=mask,
            num_attention_heads=2,
            size_per_head=6,
            query_act=None,
            key_act=None,
            value_act=None,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.02,
            do_return_2d_tensor=matrix_out,
            **sizes,
        )
        return output, mask

    (output, mask), weights = run(build)
    np.testing.assert_array_equal(mask, np.repeat(to_mask[:, None], 3, axis=1))
    assert set(weights) == {
        "%s/%s" % (part, kind) for part in ("query", "key", "value") for kind in ("kernel", "bias")
    }
    expected = attended(from_value, to_value, mask, weights, heads=2)
    assert output.shape == ((6, 12) if matrix_out else (2, 3, 12))
    np.testing.assert_allclose(output, expected.reshape(output.shape), rtol=1e-4, atol=1e-4)


def test_attention_layer_refuses_shapes_that_it_cannot_know():
    with tf.Graph().as_default():
        matrix, tensor = tf.zeros([6, 8]), tf.zeros([2, 3, 8])
        with pytest.raises(ValueError, match="rank 2 and to_tensor rank 3"):
            modeling.attention_layer(matrix, tensor)
        with pytest.raises(ValueError, match="need batch_size, from_seq_length and to_seq_length"):
            modeling.attention_layer(matrix, matrix, batch_size=2, from_seq_length=3)


def test_matrices_and_back():
    x = values(2, 3, 4)
    with tf.Graph().as_default(), tf.Session() as session:
        tensor = tf.placeholder(tf.float32, [None, 3, 4])
        shape = modeling.get_shape_list(tensor, expected_rank=[2, 3], name="input")
        matrix = modeling.reshape_to_matrix(tensor)
        wider = tf.concat([matrix, matrix], axis=1)
        back = modeling.reshape_from_matrix(wider, shape)
        outputs = session.run([matrix, back], {tensor: x})
        assert modeling.reshape_to_matrix(matrix) is matrix
        assert modeling.reshape_from_matrix(matrix, [6, 4]) is matrix
        with pytest.raises(ValueError, match="at least rank 2"):
            modeling.reshape_to_matrix(tf.zeros([3]))
    np.testing.assert_array_equal(outputs[0], x.reshape(6, 4))
    np.testing.assert_array_equal(outputs[1], np.concatenate([x, x], axis=2))


def test_dense_layers_of_google():
    x = values(2, 3, 8)

    def build():
        initializer = modeling.create_initializer(0.02)
        heads = modeling.dense_layer_3d(tf.constant(x), 2, 5, initializer, None, False, "query")
        joined = modeling.dense_layer_3d_proj(heads, 8, 5, initializer, None, True, name="dense")
        return heads, modeling.dense_layer_2d(joined, 4, initializer, tf.nn.relu, True, 2, "inner")

    (heads, output), weights = run(build)
    assert weights["query/kernel"].shape == (8, 10) and weights["dense/kernel"].shape == (10, 8)
    flat = x @ weights["query/kernel"] + weights["query/bias"]
    np.testing.assert_allclose(heads, flat.reshape(2, 3, 2, 5), rtol=1e-4, atol=1e-4)
    joined = flat @ weights["dense/kernel"] + weights["dense/bias"]
    expected = np.maximum(joined @ weights["inner/kernel"] + weights["inner/bias"], 0)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-3)


def test_assert_rank():
    with tf.Graph().as_default():
        tensor = tf.zeros([2, 3])
        assert modeling.assert_rank(tensor, 2) is None
        assert modeling.assert_rank(tensor, [2, 3], "ids") is None
        with pytest.raises(ValueError, match=r"^ids has rank 2 \(shape \[2, 3\]\); .* rank 3$"):
            modeling.assert_rank(tensor, 3, name="ids")


@pytest.mark.parametrize(
    "arguments",
    [{"use_einsum": True}, {"use_einsum": False, "scope": "bert"}, {}],
    ids=lambda arguments: ",".join(arguments) or "none",
)
def test_albert_model_takes_use_einsum(arguments):
    config = modeling.AlbertConfig(
        30, embedding_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    config.intermediate_size = 16
    with tf.Graph().as_default():
        model = modeling.AlbertModel(
            config=config,
            is_training=False,
            input_ids=tf.zeros([2, 3], tf.int32),
            input_mask=tf.ones([2, 3], tf.int32),
            token_type_ids=tf.zeros([2, 3], tf.int32),
            use_one_hot_embeddings=False,
            **arguments,
        )
        assert isinstance(model, modeling.BertModel)
        assert model.get_sequence_output().shape.as_list() == [2, 3, 8]
        assert all(name.startswith("bert/") for name in names())


@pytest.mark.parametrize(
    "seventh, eighth, scope", [(False, "mine", "mine"), ("mine", None, "mine")]
)
def test_positional_scope_of_both_albert_models(seventh, eighth, scope):
    config = modeling.AlbertConfig(
        30, embedding_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    config.intermediate_size = 16
    more = [seventh] if eighth is None else [seventh, eighth]
    with tf.Graph().as_default():
        modeling.AlbertModel(config, False, tf.zeros([2, 3], tf.int32), None, None, False, *more)
        assert all(name.startswith(scope + "/") for name in names())


def test_transformer_model_stands_in_the_scope_of_the_program():
    with tf.Graph().as_default():
        with tf.variable_scope("bert"), tf.variable_scope("encoder"):
            modeling.transformer_model(
                tf.zeros([2, 3, 8]),
                attention_mask=tf.ones([2, 3, 3]),
                hidden_size=8,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=16,
                intermediate_act_fn=modeling.get_activation("gelu"),
                do_return_all_layers=True,
            )
        assert len(names()) == 16
        assert all(name.startswith("bert/encoder/layer_shared/") for name in names())
