"""Dense layers under their names in google-research/albert's modeling.py."""

from albert.basics.tf_compat import tf
from albert.layers.basic import dense_product
from albert.layers.shapes import get_shape_list


def dense_layer_2d(
    input_tensor,
    output_size,
    initializer,
    activation,
    use_einsum=True,
    num_attention_heads=1,
    name=None,
):
    """`[batch_size, seq_length, width]` to `[batch_size, seq_length, output_size]`.

    Args:
        initializer: of the kernel.
        activation: function, or None.
        use_einsum, num_attention_heads: no effect; kept for callers of the original function.
        name: variable scope of `kernel` and `bias`.
    """
    del use_einsum, num_attention_heads
    return _dense(input_tensor, output_size, initializer, activation, name)


def dense_layer_3d(
    input_tensor,
    num_attention_heads,
    head_size,
    initializer,
    activation,
    use_einsum=True,
    name=None,
):
    """`[batch_size, seq_length, width]` to `[batch_size, seq_length, heads, head_size]`.

    The kernel is stored as `[width, heads * head_size]`; for the arguments see `dense_layer_2d`.
    """
    del use_einsum
    width = num_attention_heads * head_size
    output = _dense(input_tensor, width, initializer, activation, name)
    leading = get_shape_list(output)[:-1]
    return tf.reshape(output, [*leading, num_attention_heads, head_size])


def dense_layer_3d_proj(
    input_tensor,
    hidden_size,
    head_size,
    initializer,
    activation,
    use_einsum=True,
    name=None,
):
    """`[batch_size, seq_length, heads, head_size]` to `[batch_size, seq_length, hidden_size]`.

    The kernel is stored as `[heads * head_size, hidden_size]`; see `dense_layer_2d`.
    """
    del use_einsum
    *leading, heads, _ = get_shape_list(input_tensor, expected_rank=4)
    flat = tf.reshape(input_tensor, [*leading, heads * head_size])
    return _dense(flat, hidden_size, initializer, activation, name)


def _dense(input_tensor, output_size, initializer, activation, name):
    width = get_shape_list(input_tensor)[-1]
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [width, output_size], initializer=initializer)
        bias = tf.get_variable("bias", [output_size], initializer=tf.zeros_initializer())
        output = dense_product(input_tensor, kernel) + bias
    return activation(output) if activation else output
