"""ALBERT: one model for all three families of checkpoints, as its config says.

The variables carry the names and shapes of the published checkpoints.
All weights are float32; kernels are stored `[in, out]`.

Example:

    config = load_config("albert_config/albert_config_tiny.json")
    model = BertModel(config, is_training=False, input_ids=ids, input_mask=mask)
    pooled = model.get_pooled_output()  # [batch_size, hidden_size]
"""

import copy
import math
from typing import Callable, NamedTuple, Optional

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.layers.basic import (  # noqa: F401 (public here)
    LAYER_NORM_EPSILON,
    MASKED_SCORE,
    create_initializer,
    create_variable,
    dense,
    dense_product,
    dense_variables,
    dropout,
    gelu,
    get_activation,
    layer_norm,
    layer_norm_and_dropout,
    swish,
)
from albert.layers.fusion import fused
from albert.layers.google_dense import (  # noqa: F401 (public here)
    dense_layer_2d,
    dense_layer_3d,
    dense_layer_3d_proj,
)
from albert.layers.products import matmul
from albert.layers.recompute import recomputed
from albert.layers.shapes import (  # noqa: F401 (public here)
    assert_rank,
    get_shape_list,
    reshape_from_matrix,
    reshape_to_matrix,
)
from albert.model_files import variables
from albert.model_files.checkpoints import (  # noqa: F401 (public here)
    get_assignment_map_from_checkpoint,
    variable_name,
)
from albert.model_files.configuration import (  # noqa: F401 (public here)
    AlbertConfig,
    BertConfig,
    load_config,
)


class BlockSettings(NamedTuple):
    """What every block of an encoder has in common.

    Attributes:
        num_attention_heads, intermediate_size: sizes.
        activation: function of the feed-forward part, or None.
        hidden_dropout_prob: on what attention and the feed-forward part add.
        attention_probs_dropout_prob: on the probabilities of attention.
        initializer_range: standard deviation of initial kernels.
        pre_ln: whether each part normalizes its input, instead of its output.
        ffn_groups: number of groups of the feed-forward kernels.
        recompute: see `BertModel`.
    """

    num_attention_heads: int
    intermediate_size: int
    activation: Optional[Callable]
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    initializer_range: float
    pre_ln: bool
    ffn_groups: int
    recompute: bool

    @classmethod
    def of_config(cls, config, recompute):
        """The settings that the config of a model says."""
        return cls(
            config.num_attention_heads,
            config.intermediate_size,
            get_activation(config.hidden_act),
            config.hidden_dropout_prob,
            config.attention_probs_dropout_prob,
            config.initializer_range,
            config.pre_ln,
            config.ffn_groups,
            recompute,
        )


class BertModel:
    """The encoder of a brightmart, google or google-fast model, as `config` says."""

    def __init__(
        self,
        config,
        is_training,
        input_ids,
        input_mask=None,
        token_type_ids=None,
        use_one_hot_embeddings=False,
        scope=None,
        positions=None,
        recompute_layers=False,
    ):
        """Builds the graph.

        Args:
            config: `BertConfig` or `AlbertConfig`.
            is_training: bool; False switches both dropouts off.
            input_ids: int32 `[batch_size, seq_length]`.
            input_mask: int32 `[batch_size, seq_length]`, 1 for real tokens; None: all are real.
            token_type_ids: int32 `[batch_size, seq_length]`; None: all 0. An id outside the table
                adds nothing.
            use_one_hot_embeddings: look words up by matrix product (faster on TPU).
            scope: variable scope; "bert" if None.
            positions: int32 `[batch_size, num_positions]`, for `get_positions_output`.
            recompute_layers: compute each block once more in the backward pass instead of keeping
                its activations: less memory, more time, the same numbers.

        Raises:
            InputError: the static seq_length exceeds `max_position_embeddings`, or a value of the
                config is wrong.
        """
        config.check()
        config = copy.deepcopy(config)
        if not is_training:
            config.hidden_dropout_prob = 0.0
            config.attention_probs_dropout_prob = 0.0

        with tf.variable_scope(scope, default_name=variables.MODEL):
            with tf.variable_scope(variables.EMBEDDINGS):
                self._embed(config, input_ids, token_type_ids, use_one_hot_embeddings)
            with tf.variable_scope(variables.ENCODER):
                read = self._encode(config, input_ids, input_mask, positions, recompute_layers)
            self.sequence_output = self.all_encoder_layers[-1]
            self.positions_output = read[:, 1:]
            with tf.variable_scope(variables.POOLER):
                self.pooled_output = dense(
                    read[:, 0],
                    config.hidden_size,
                    variables.POOLER_DENSE,
                    activation=tf.tanh,
                    initializer_range=config.initializer_range,
                )

    def _embed(self, config, input_ids, token_type_ids, use_one_hot_embeddings):
        """Tables of embeddings, and what of them is the input of the encoder."""
        if config.projects_words:
            words, self.embedding_table, self.projection_table = embedding_lookup_factorized(
                input_ids,
                config.vocab_size,
                config.hidden_size,
                config.embedding_size,
                config.initializer_range,
                use_one_hot_embeddings=use_one_hot_embeddings,
            )
        else:
            self.projection_table = None
            words, self.embedding_table = embedding_lookup(
                input_ids,
                config.vocab_size,
                config.embedding_size,
                config.initializer_range,
                use_one_hot_embeddings=use_one_hot_embeddings,
            )
        self.word_embedding_output = words
        if token_type_ids is None:
            token_type_ids = tf.zeros(get_shape_list(words)[:2], tf.int32)
        self.embedding_output = embedding_postprocessor(
            words,
            use_token_type=True,
            token_type_ids=token_type_ids,
            token_type_vocab_size=config.type_vocab_size,
            initializer_range=config.initializer_range,
            max_position_embeddings=config.max_position_embeddings,
            dropout_prob=config.hidden_dropout_prob,
        )

    def _encode(self, config, input_ids, input_mask, positions, recompute):
        """All blocks, and the last one once more for the positions that are read.

        In training nothing is read of the last block but the first position and those asked for,
        so these have a last block of their own, which skips all others.  Of the two only the one
        that is fetched is computed.

        Returns:
            float32 `[batch_size, 1 + num_positions, hidden_size]`: the output at the first
            position and at `positions`.
        """
        hidden = self.embedding_output
        if config.embedding_width != config.hidden_size:
            hidden = dense(
                hidden,
                config.hidden_size,
                variables.MAPPING,
                initializer_range=config.initializer_range,
            )
        bias, layers = attention_bias(input_mask), variables.encoder_layers(config)
        settings = BlockSettings.of_config(config, recompute)
        self.all_encoder_layers = encode(hidden, bias, layers, settings)
        block_inputs = [hidden, *self.all_encoder_layers[:-1]]
        read = tf.zeros([get_shape_list(input_ids)[0], 1], tf.int32)
        if positions is not None:
            read = tf.concat([read, positions], axis=1)
        return encode(block_inputs[-1], bias, layers[-1:], settings, read)[-1]

    def get_pooled_output(self):
        """`[batch_size, hidden_size]`: tanh layer over the first token's last hidden state."""
        return self.pooled_output

    def get_sequence_output(self):
        """`[batch_size, seq_length, hidden_size]`: output of the last block."""
        return self.sequence_output

    def get_positions_output(self):
        """`[batch_size, num_positions, hidden_size]`: the last block's output at `positions`.

        The same numbers as in `get_sequence_output`, for less work.
        """
        return self.positions_output

    def get_all_encoder_layers(self):
        """List of block outputs; google models have `inner_group_num` blocks in each layer."""
        return self.all_encoder_layers

    def get_word_embedding_output(self):
        """`[batch_size, seq_length, width]`: word embeddings alone."""
        return self.word_embedding_output

    def get_embedding_output(self):
        """`[batch_size, seq_length, width]`: input of the encoder.

        The width is hidden_size (brightmart) or embedding_size (google).
        """
        return self.embedding_output

    def get_embedding_table(self):
        """`[vocab_size, embedding_size]`."""
        return self.embedding_table

    def get_embedding_table_2(self):
        """`[embedding_size, hidden_size]` of brightmart models; None for google ones."""
        return self.projection_table


class AlbertModel(BertModel):
    """`BertModel` with the arguments of google-research/albert."""

    def __init__(
        self,
        config,
        is_training,
        input_ids,
        input_mask=None,
        token_type_ids=None,
        use_one_hot_embeddings=False,
        use_einsum=True,
        scope=None,
        **more,
    ):
        """Builds the graph.

        Args:
            use_einsum: how products are written there; here it makes no difference.  A string is
                the scope, which stands in this place in albert_zh's class of the same name.
            others: see `BertModel`.
        """
        if isinstance(use_einsum, (str, tf.VariableScope)):
            scope = use_einsum
        super().__init__(
            config,
            is_training,
            input_ids,
            input_mask,
            token_type_ids,
            use_one_hot_embeddings,
            scope,
            **more,
        )


def transformer_model(
    input_tensor,
    attention_mask=None,
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    intermediate_act_fn="gelu",
    hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
    initializer_range=0.02,
    do_return_all_layers=False,
    share_parameter_across_layers=True,
    ln_type="postln",
    share="all",
):
    """The brightmart encoder on its own; in `BertModel` its scope is "encoder".

    Args:
        input_tensor: float32 `[batch_size, seq_length, hidden_size]`.
        attention_mask: 0/1, `[batch_size, seq_length]` of keys or
            `[batch_size, seq_length, seq_length]`.
        share_parameter_across_layers: False is `share="none"`.
        share: which parameters the layers share: "all", "attention", "ffn" or "none".
        ln_type: "postln" (or None) or "preln".

    Returns:
        The last block's output, or the list of all with `do_return_all_layers`.

    Raises:
        ValueError: hidden_size is no multiple of num_attention_heads, or is not the input's width.
    """
    width = get_shape_list(input_tensor, expected_rank=3)[-1]
    if hidden_size % num_attention_heads:
        raise ValueError(
            "hidden_size %d is not a multiple of num_attention_heads %d"
            % (hidden_size, num_attention_heads)
        )
    if width != hidden_size:
        raise ValueError("input width %d is not hidden_size %d" % (width, hidden_size))
    settings = BlockSettings(
        num_attention_heads,
        intermediate_size,
        get_activation(intermediate_act_fn),
        hidden_dropout_prob,
        attention_probs_dropout_prob,
        initializer_range,
        pre_ln=ln_type == "preln",
        ffn_groups=1,
        recompute=False,
    )
    layers = variables.brightmart_layers(
        num_hidden_layers, share if share_parameter_across_layers else "none"
    )
    outputs = encode(input_tensor, attention_bias(attention_mask), layers, settings)
    return outputs if do_return_all_layers else outputs[-1]


# ---------------------------------------------------------------------------------------------
# Embeddings


def embedding_lookup(
    input_ids,
    vocab_size,
    embedding_size=128,
    initializer_range=0.02,
    word_embedding_name=variables.WORDS,
    use_one_hot_embeddings=False,
):
    """Looks up words.

    Args:
        input_ids: int32 `[batch_size, seq_length]`; or `[batch_size, seq_length, n]`, and the n
            embeddings of a position stand side by side.

    Returns:
        `[batch_size, seq_length, embedding_size]` and the table `[vocab_size, embedding_size]`.
    """
    table = create_variable(word_embedding_name, [vocab_size, embedding_size], initializer_range)
    if use_one_hot_embeddings:
        output = dense_product(tf.one_hot(input_ids, vocab_size, dtype=tf.float32), table)
    else:
        output = tf.gather(table, input_ids)
    if input_ids.shape.ndims == 3:
        batch_size, seq_length, number = get_shape_list(input_ids)
        output = tf.reshape(output, [batch_size, seq_length, number * embedding_size])
    return output, table


def embedding_lookup_factorized(
    input_ids,
    vocab_size,
    hidden_size,
    embedding_size=128,
    initializer_range=0.02,
    word_embedding_name=variables.WORDS,
    use_one_hot_embeddings=False,
):
    """Looks up words and projects them to hidden_size, without bias (brightmart models).

    Returns:
        `[batch_size, seq_length, hidden_size]`, the table `[vocab_size, embedding_size]` and the
        projection `[embedding_size, hidden_size]`.
    """
    words, table = embedding_lookup(
        input_ids,
        vocab_size,
        embedding_size,
        initializer_range,
        word_embedding_name,
        use_one_hot_embeddings,
    )
    projection = create_variable(
        word_embedding_name + variables.PROJECTION_SUFFIX,
        [embedding_size, hidden_size],
        initializer_range,
    )
    return dense_product(words, projection, matmul), table, projection


def embedding_postprocessor(
    input_tensor,
    use_token_type=False,
    token_type_ids=None,
    token_type_vocab_size=16,
    token_type_embedding_name=variables.TYPES,
    use_position_embeddings=True,
    position_embedding_name=variables.POSITIONS,
    initializer_range=0.02,
    max_position_embeddings=512,
    dropout_prob=0.1,
    use_one_hot_embeddings=True,
):
    """Adds type and position embeddings, normalizes, drops out.

    Args:
        input_tensor: float32 `[batch_size, seq_length, width]`.
        token_type_ids: int32 `[batch_size, seq_length]`; an id outside the table adds nothing.
        use_one_hot_embeddings: no effect; kept for callers of google-research/albert.

    Raises:
        InputError: the static seq_length exceeds `max_position_embeddings`.
        ValueError: `use_token_type` without `token_type_ids`.
    """
    del use_one_hot_embeddings
    _, seq_length, width = get_shape_list(input_tensor, expected_rank=3)
    if use_token_type:
        if token_type_ids is None:
            raise ValueError("use_token_type needs token_type_ids.")
        type_table = create_variable(
            token_type_embedding_name, [token_type_vocab_size, width], initializer_range
        )
    if use_position_embeddings:
        if isinstance(seq_length, int) and seq_length > max_position_embeddings:
            raise InputError(
                "sequence length %d is more than the model's max_position_embeddings %d."
                % (seq_length, max_position_embeddings)
            )
        position_table = create_variable(
            position_embedding_name, [max_position_embeddings, width], initializer_range
        )
    output = input_tensor
    if use_token_type:
        # One-hot, not gather: an id outside the table must add zero.
        one_hot = tf.one_hot(token_type_ids, token_type_vocab_size, dtype=tf.float32)
        output += dense_product(one_hot, type_table)
    if use_position_embeddings:
        output += tf.slice(position_table, [0, 0], [seq_length, -1])
    return layer_norm_and_dropout(output, dropout_prob)


# ---------------------------------------------------------------------------------------------
# Encoder


def encode(hidden, bias, layers, settings, positions=None):
    """Runs the blocks one after the other.

    Args:
        hidden: float32 `[batch_size, seq_length, hidden_size]`.
        bias: see `attention_bias`.
        layers: see `variables.encoder_layers`.
        settings: `BlockSettings`.
        positions: see `transformer_block`; for a single block.

    Returns:
        List of the blocks' outputs.
    """
    outputs = []
    for scope, names in layers:

        def block(inputs, names=names):
            return transformer_block(inputs, bias, names, settings, positions)

        with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
            hidden = recomputed(block, hidden) if settings.recompute else block(hidden)
        outputs.append(hidden)
    return outputs


def transformer_block(hidden, bias, names, settings, positions=None):
    """Attention and feed-forward, each with a residual connection.

    Post-LN normalizes after the addition. Pre-LN normalizes the input of each part and has no
    final normalization.

    Args:
        hidden: float32 `[batch_size, seq_length, hidden_size]`.
        positions: int32 `[batch_size, num_positions]`; the output is computed only there.

    Returns:
        float32 `[batch_size, seq_length or num_positions, hidden_size]`.
    """
    width = get_shape_list(hidden)[-1]
    pre_ln = settings.pre_ln

    inputs = layer_norm(hidden, names.attention_norm) if pre_ln else hidden
    queries, attend = inputs, attention
    if positions is not None:
        queries, hidden = gather_positions(inputs, positions), gather_positions(hidden, positions)
        if positions.shape.as_list()[1] == 1:
            attend = attention_of_one_query
    context = attend(queries, inputs, bias, names, settings)
    context = dense(
        context,
        width,
        names.attention_output,
        initializer_range=settings.initializer_range,
    )
    hidden = dropout(context, settings.hidden_dropout_prob) + hidden
    if not pre_ln:
        hidden = layer_norm(hidden, names.attention_norm)

    inputs = layer_norm(hidden, names.output_norm) if pre_ln else hidden
    inner = dense(
        inputs,
        settings.intermediate_size,
        names.intermediate,
        activation=settings.activation,
        initializer_range=settings.initializer_range,
        groups=settings.ffn_groups,
        stay_low=True,
    )
    output = dense(
        inner,
        width,
        names.output,
        initializer_range=settings.initializer_range,
        groups=settings.ffn_groups,
    )
    hidden = dropout(output, settings.hidden_dropout_prob) + hidden
    return hidden if pre_ln else layer_norm(hidden, names.output_norm)


def attention_bias(mask):
    """What to add to the attention scores: 0 for real keys, `MASKED_SCORE` for masked ones.

    Args:
        mask: 0/1, `[batch_size, seq_length]` of keys, or `[batch_size, queries, keys]`, or None.

    Returns:
        float32 `[batch_size, 1, 1 or queries, keys]`, or None where nothing is masked.
    """
    if mask is None:
        return None
    mask = tf.cast(mask, tf.float32)
    mask = tf.expand_dims(mask, 1)
    if mask.shape.ndims == 3:
        mask = tf.expand_dims(mask, 1)
    return (1.0 - mask) * MASKED_SCORE


def attention(queries, keys, bias, names, settings):
    """Multi-head attention, without the output projection.

    Args:
        queries: float32 `[batch_size, num_queries, hidden_size]`.
        keys: float32 `[batch_size, seq_length, hidden_size]`; also the values.
        bias: see `attention_bias`.
        names: `BlockNames` of the block.
        settings: `BlockSettings`.

    Returns:
        float32 `[batch_size, num_queries, hidden_size]`, heads side by side.
    """
    batch_size, num_queries, width = get_shape_list(queries, expected_rank=3)
    query = _project_queries(queries, names, settings)
    key, value = (_split_heads(keys, name, settings) for name in (names.key, names.value))
    context = _attend(query, key, value, bias, settings.attention_probs_dropout_prob)
    return tf.reshape(context, [batch_size, num_queries, width])


def create_attention_mask_from_input_mask(from_tensor, to_mask):
    """The mask of keys, for each query.

    Args:
        from_tensor: `[batch_size, from_seq_length, ...]`.
        to_mask: 0/1, `[batch_size, to_seq_length]`.

    Returns:
        float32 `[batch_size, from_seq_length, to_seq_length]`.
    """
    batch_size, num_queries = get_shape_list(from_tensor, expected_rank=[2, 3])[:2]
    mask = tf.expand_dims(tf.cast(to_mask, tf.float32), 1)
    return tf.ones([batch_size, num_queries, 1], tf.float32) * mask


def attention_layer(
    from_tensor,
    to_tensor,
    attention_mask=None,
    num_attention_heads=1,
    size_per_head=512,
    query_act=None,
    key_act=None,
    value_act=None,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.02,
    do_return_2d_tensor=False,
    batch_size=None,
    from_seq_length=None,
    to_seq_length=None,
):
    """Multi-head attention, without the output projection; variables query, key and value.

    Args:
        from_tensor, to_tensor: float32 `[batch_size, seq_length, width]`; or as matrices
            `[batch_size * seq_length, width]`, and then the last three arguments say the sizes.
        attention_mask: 0/1, `[batch_size, from_seq_length, to_seq_length]` or of keys alone.
        query_act, key_act, value_act: activations of the projections.

    Returns:
        float32 `[batch_size, from_seq_length, num_attention_heads * size_per_head]`, or with
        `do_return_2d_tensor` the matrix of it.

    Raises:
        ValueError: the ranks differ, or matrices come without their sizes.
    """
    from_shape = get_shape_list(from_tensor, expected_rank=[2, 3])
    to_shape = get_shape_list(to_tensor, expected_rank=[2, 3])
    if len(from_shape) != len(to_shape):
        raise ValueError(
            "from_tensor has rank %d and to_tensor rank %d; expected the same."
            % (len(from_shape), len(to_shape))
        )
    if len(from_shape) == 3:
        batch_size, from_seq_length, to_seq_length = *from_shape[:2], to_shape[1]
    elif None in (batch_size, from_seq_length, to_seq_length):
        raise ValueError("matrices need batch_size, from_seq_length and to_seq_length.")
    width = num_attention_heads * size_per_head

    def heads(tensor, length, name, activation):
        function = get_activation(activation)
        projected = dense(tensor, width, name, function, initializer_range)
        shape = [batch_size, length, num_attention_heads, size_per_head]
        return tf.transpose(tf.reshape(projected, shape), [0, 2, 1, 3])

    query = heads(from_tensor, from_seq_length, "query", query_act) / math.sqrt(size_per_head)
    key = heads(to_tensor, to_seq_length, "key", key_act)
    value = heads(to_tensor, to_seq_length, "value", value_act)
    bias = attention_bias(attention_mask)
    context = _attend(query, key, value, bias, attention_probs_dropout_prob)
    if do_return_2d_tensor:
        return tf.reshape(context, [batch_size * from_seq_length, width])
    return tf.reshape(context, [batch_size, from_seq_length, width])


def _attend(query, key, value, bias, dropout_prob):
    """`softmax(query x key^T + bias) x value`, the softmax in float32.

    With p the probabilities and c their product with the values, the derivative by a score is
    p (dp - sum(p dp)), and sum(p dp) over the keys is sum(c dc), which has fewer terms; dropout
    changes nothing about it.

    Args:
        query: `[batch_size, heads, queries, head_size]`, of the type of products.
        key, value: `[batch_size, heads, keys, head_size]`, of the same type.

    Returns:
        `[batch_size, queries, heads, head_size]`, of the same type.
    """

    @tf.custom_gradient
    def function(query, key, value):
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32)
        probs = tf.nn.softmax(scores if bias is None else scores + bias)
        kept = tf.cast(dropout(probs, dropout_prob), value.dtype)
        context = tf.transpose(tf.matmul(kept, value), [0, 2, 1, 3])

        def gradient(upstream):
            product = tf.cast(context, tf.float32) * tf.cast(upstream, tf.float32)
            total = tf.reduce_sum(product, axis=-1, keepdims=True)
            total, upstream = (tf.transpose(t, [0, 2, 1, 3]) for t in (total, upstream))
            by_probs = tf.matmul(upstream, value, transpose_b=True)
            if dropout_prob:
                (by_probs,) = tf.gradients(kept, probs, by_probs)
            with fused(probs):
                by_scores = probs * (tf.cast(by_probs, tf.float32) - total)
                by_scores = tf.cast(by_scores, query.dtype)
            return (
                tf.matmul(by_scores, key),
                tf.matmul(by_scores, query, transpose_a=True),
                tf.matmul(kept, upstream, transpose_a=True),
            )

        return context, gradient

    return function(query, key, value)


def attention_of_one_query(queries, keys, bias, names, settings):
    """`attention` for `queries` of `[batch_size, 1, hidden_size]`: the same numbers for less work.

    Keys and values are not projected at each position.  With x the inputs there, W and b the
    projection and p the probabilities, of each head:

        keys:    q (x W + b) = (q W^T) x + q b
        values:  sum_i p_i (x_i W + b) = (sum_i p_i x_i) W + (sum_i p_i) b

    The sum of the probabilities is 1 only without dropout.
    """
    batch_size, _, width = get_shape_list(queries, expected_rank=3)
    heads = settings.num_attention_heads
    size = width // heads

    def projection(name):  # -> [heads, hidden_size, head_size], [heads, 1, head_size]
        kernel, part_bias = dense_variables(name, [width, width], width, settings.initializer_range)
        kernel = tf.transpose(tf.reshape(kernel, [width, heads, size]), [1, 0, 2])
        return kernel, tf.reshape(part_bias, [heads, 1, size])

    def swap(tensor):  # [batch_size, heads, ...] <-> [heads, batch_size, ...]
        return tf.transpose(tensor, [1, 0, 2])

    # One matrix product for each head over the batch, or for each sequence over the heads.
    query = swap(tf.squeeze(_project_queries(queries, names, settings), 2))
    key_kernel, key_bias = projection(names.key)
    value_kernel, value_bias = projection(names.value)
    scores = matmul(swap(matmul(query, key_kernel, transpose_b=True)), keys, transpose_b=True)
    query = tf.cast(query, tf.float32)
    scores += swap(tf.reduce_sum(query * key_bias, axis=-1, keepdims=True))
    scores = tf.expand_dims(scores, 2)
    probs = tf.nn.softmax(scores if bias is None else scores + bias)
    probs = tf.squeeze(dropout(probs, settings.attention_probs_dropout_prob), 2)
    total = tf.reduce_sum(probs, axis=-1, keepdims=True)
    context = matmul(swap(matmul(probs, keys)), value_kernel) + swap(total) * value_bias
    return tf.reshape(swap(context), [batch_size, 1, width])


def _project_queries(queries, names, settings):
    # Scaling the queries instead of the scores saves passes over the largest tensor.
    scale = 1.0 / math.sqrt(queries.shape.as_list()[-1] // settings.num_attention_heads)
    return _split_heads(queries, names.query, settings, lambda projected: projected * scale)


def _split_heads(inputs, name, settings, activation=None):
    """Projection to the queries, keys or values: `[batch_size, heads, positions, head_size]`."""
    batch_size, positions, width = get_shape_list(inputs)
    heads = settings.num_attention_heads
    projected = dense(inputs, width, name, activation, settings.initializer_range, stay_low=True)
    return tf.transpose(
        tf.reshape(projected, [batch_size, positions, heads, width // heads]), [0, 2, 1, 3]
    )


def gather_positions(sequence, positions):
    """Picks positions of every sequence.

    Args:
        sequence: `[batch_size, seq_length, width]`.
        positions: int32 `[batch_size, num_positions]`.

    Returns:
        `[batch_size, num_positions, width]`.
    """
    batch_size, seq_length, width = get_shape_list(sequence, expected_rank=3)
    offsets = tf.reshape(tf.range(batch_size, dtype=tf.int32) * seq_length, [-1, 1])
    return tf.gather(tf.reshape(sequence, [-1, width]), positions + offsets)
