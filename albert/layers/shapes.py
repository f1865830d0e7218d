"""Shapes of tensors, and tensors in other shapes."""

from albert.basics.tf_compat import tf


def assert_rank(tensor, expected_rank, name=None):
    """Checks the number of axes.

    Args:
        expected_rank: an int or a list of them.
        name: of the tensor, for the message; None: its own.

    Raises:
        ValueError: it is another one.
    """
    shape = tensor.shape.as_list()
    ranks = [expected_rank] if isinstance(expected_rank, int) else list(expected_rank)
    if len(shape) not in ranks:
        raise ValueError(
            "%s has rank %d (shape %s); expected rank %s"
            % (name or tensor.name, len(shape), shape, " or ".join(map(str, ranks)))
        )


def get_shape_list(tensor, expected_rank=None, name=None):
    """Shape of a tensor as a list: ints where static, scalar tensors where not.

    Raises:
        ValueError: the rank is not `expected_rank`, see `assert_rank`.
    """
    if expected_rank is not None:
        assert_rank(tensor, expected_rank, name)
    shape = tensor.shape.as_list()
    if None in shape:
        dynamic = tf.shape(tensor)
        shape = [dynamic[axis] if size is None else size for axis, size in enumerate(shape)]
    return shape


def reshape_to_matrix(input_tensor):
    """`[..., width]` as `[rows, width]`.

    Raises:
        ValueError: the tensor has less than two axes.
    """
    if input_tensor.shape.ndims < 2:
        raise ValueError(
            "%s has shape %s; expected at least rank 2" % (input_tensor.name, input_tensor.shape)
        )
    if input_tensor.shape.ndims == 2:
        return input_tensor
    return tf.reshape(input_tensor, [-1, get_shape_list(input_tensor)[-1]])


def reshape_from_matrix(output_tensor, orig_shape_list):
    """`[rows, width]` with the axes of a shape, whose last one is replaced by `width`."""
    if len(orig_shape_list) == 2:
        return output_tensor
    width = get_shape_list(output_tensor)[-1]
    return tf.reshape(output_tensor, [*orig_shape_list[:-1], width])
