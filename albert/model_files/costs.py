"""What a model costs, from its config alone: parameters, file size, arithmetic, memory.

Floating-point operations are those of matrix products, a multiplication with its addition counting
as 2: what the usual figures for hardware count.  Everything else (softmax, normalization,
activations, the optimizer) is a few percent more.  Training is forward and backward pass without
the update of the weights.

The last block works for the positions that are read (the first token, and in pre-training the
masked ones), as modeling.py does; with `everywhere` for all, as other implementations do and as
figures in papers are meant.
"""

from albert.model_files import variables

FLOAT_BYTES = 4
OPTIMIZER_SLOTS = 2  # both moments of AdamW and LAMB
# Tensors that the derivative of an activation is made of; two are made of the output itself.
_KEPT_FOR_DERIVATIVE = {"": 0, "linear": 0, "relu": 1, "tanh": 1, "gelu": 1, "swish": 2}
_KEEP_OUTPUT_ONLY = ("relu", "tanh")


# Parameters


def parameters(config):
    """Parameters of the pre-training model.

    Returns:
        Dictionary: number of "embeddings" (with the projection), "blocks", "pooler" (these three
        are the variables below `bert/`), "masked_lm" (which also uses the embeddings) and
        "sentence_order".
    """
    encoder = variables.encoder_parts(config)
    return {
        "embeddings": _count(encoder.embeddings),
        "blocks": _count(encoder.blocks),
        "pooler": _count(encoder.pooler),
        "masked_lm": _count(variables.masked_lm_parts(config)),
        "sentence_order": _count(variables.sentence_order_parts(config)),
    }


def encoder_parameters(config):
    """Number of parameters below `bert/`, which fine-tuning takes from a checkpoint."""
    return _count(variables.encoder_parts(config))


def classifier_parameters(config, num_labels=2):
    """Number of parameters of a classifier or (1 label) a regression."""
    head = variables.classifier_parts(config, num_labels)
    return encoder_parameters(config) + _count(head)


def _count(parts):
    """Number of the elements of the variables in `parts`, those that are shared counted once."""
    return sum(variable.size for variable in variables.listed(parts))


def checkpoint_bytes(num_parameters, training=False):
    """Size of a checkpoint's data file.

    Args:
        training: with the optimizer's moments and the step, from which a run is resumed.
    """
    if not training:
        return FLOAT_BYTES * num_parameters
    return FLOAT_BYTES * (1 + OPTIMIZER_SLOTS) * num_parameters + 8


# Arithmetic


def inference_flops(config, seq_length, num_labels=2, everywhere=False):
    """Operations to classify one sequence (pooling "cls")."""
    embeddings, types = _embedding_flops(config, seq_length)
    blocks = _encoder_flops(config, seq_length, None if everywhere else 1)
    head = 2 * config.hidden_size * (config.hidden_size + num_labels)
    return embeddings + types + blocks + head


def training_flops(config, seq_length, num_predictions, everywhere=False):
    """Operations to pre-train on one sequence with `num_predictions` masked positions."""
    embeddings, types = _embedding_flops(config, seq_length)
    blocks = _encoder_flops(config, seq_length, None if everywhere else 1 + num_predictions)
    hidden, embedding = config.hidden_size, config.embedding_size
    prediction = hidden * config.embedding_width + embedding * config.vocab_size
    if config.projects_words:
        prediction += hidden * embedding
    heads = 2 * num_predictions * prediction + 2 * hidden * (hidden + 2)
    # A product has two gradients of its own cost, but there is none of the types themselves.
    return 3 * (embeddings + blocks + heads) + 2 * types


def _embedding_flops(config, seq_length):
    """Of the projection to hidden_size, and of the one-hot product that looks types up."""
    projected = _has_projection(config)
    projection = 2 * seq_length * config.embedding_size * config.hidden_size if projected else 0
    return projection, 2 * seq_length * config.type_vocab_size * config.embedding_width


def _has_projection(config):
    """Whether anything leads from embedding_size to hidden_size, before or after the sum."""
    return config.projects_words or config.embedding_width != config.hidden_size


def _num_blocks(config):
    return len(variables.encoder_layers(config))


def _encoder_flops(config, seq_length, last_positions):
    """Of all blocks, the last one computed at `last_positions` positions (None: at all)."""
    whole = _block_flops(config, seq_length)
    return (_num_blocks(config) - 1) * whole + _block_flops(config, seq_length, last_positions)


def _block_flops(config, seq_length, positions=None):
    """Of one block; positions: see `modeling.transformer_block`."""
    hidden = config.hidden_size
    attended = 2 * seq_length  # positions for scores and for sums of values
    projected = 2 * hidden * seq_length  # keys and values
    if positions is None:
        positions = seq_length
    elif positions == 1:  # modeling.attention_of_one_query
        attended *= config.num_attention_heads
        projected = 2 * hidden
    at_positions = 2 * hidden + attended + 2 * config.intermediate_size // config.ffn_groups
    return 2 * hidden * (projected + positions * at_positions)


# Memory


def activation_bytes(config, seq_length, num_predictions, mask_bytes=1):
    """What pre-training on one sequence keeps in memory for the backward pass, in float32.

    Without `training_memory`'s temporary tensors, and without weights, gradients and moments, which
    do not depend on the batch (16 bytes for each parameter).

    Args:
        mask_bytes: for an element of a dropout's mask: 1, on TensorFlow 1.15 4.
    """
    read = 1 + num_predictions
    whole = _kept_by_block(config, seq_length, seq_length, mask_bytes)
    last = _kept_by_block(config, seq_length, read, mask_bytes)
    return (
        _kept_by_embeddings(config, seq_length, mask_bytes)
        + (_num_blocks(config) - 1) * whole
        + last
        + _kept_by_heads(config, num_predictions)
    )


def training_memory(config, seq_length, num_predictions):
    """Estimate of the memory that one more sequence in a batch of pre-training takes.

    `activation_bytes`, and the gradient of the logits twice (softmax, and minus the labels), which
    is there when most else still is.
    """
    logits = num_predictions * config.vocab_size * FLOAT_BYTES
    return activation_bytes(config, seq_length, num_predictions) + 2 * logits


def _kept_by_embeddings(config, seq_length, mask_bytes):
    width, embedding = config.embedding_width, config.embedding_size
    floats = width + 1 + config.type_vocab_size  # normalized, its scale, types as one-hot
    if _has_projection(config):
        floats += embedding  # what is projected
    masks = width if config.hidden_dropout_prob else 0
    return seq_length * (floats * FLOAT_BYTES + masks * mask_bytes)


def _kept_by_block(config, seq_length, positions, mask_bytes):
    """Of one block computed at `positions` positions, with its input."""
    hidden, heads = config.hidden_size, config.num_attention_heads
    activation = _activation(config)
    inner = _KEPT_FOR_DERIVATIVE[activation] + (activation not in _KEEP_OUTPUT_ONLY)
    # Input, keys, values; at the positions queries, context, both normalizations and what goes
    # into the feed-forward part.  Pre-LN normalizes the input instead of the attention's output.
    everywhere = 4 * hidden + 1 if config.pre_ln else 3 * hidden
    there = 4 * hidden + 1 if config.pre_ln else 5 * hidden + 2
    if positions != seq_length:
        there += hidden  # the input, gathered
    there += inner * config.intermediate_size + heads * seq_length
    masks = 0
    if config.attention_probs_dropout_prob:
        there += heads * seq_length
        masks += heads * seq_length
    if config.hidden_dropout_prob:
        masks += 2 * hidden
    return (
        seq_length * everywhere + positions * there
    ) * FLOAT_BYTES + positions * masks * mask_bytes


def _kept_by_heads(config, num_predictions):
    hidden, width = config.hidden_size, config.embedding_width
    derivative = _KEPT_FOR_DERIVATIVE[_activation(config)] * width
    # Input, derivative, normalized, its scale, output; exponentials of the logits, their sum; four
    # indices.
    prediction = hidden + derivative + 2 * width + 1 + config.vocab_size + 1 + 4
    if config.projects_words:
        prediction += config.embedding_size
    sentence = 2 * hidden + 2 + 2  # input and output of the pooler, probabilities, indices
    return FLOAT_BYTES * (num_predictions * prediction + sentence)


def _activation(config):
    return (config.hidden_act or "").lower()
