"""Gradients of a training step: plain, with adversarial noise, of a batch in parts, and scaled.

The functions that compute them take `compute_scores`: a function of features (dict of tensors with
the batch first) that builds the model and returns `{name: scalar tensor}`, means over the batch;
"loss" is differentiated.  It creates its variables with `tf.get_variable` when called first.
"""

import re

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import variables
from lamb_optimizer import dense_gradient

WORD_EMBEDDINGS = "%s/%s" % (variables.EMBEDDINGS, variables.WORDS)


def compute_gradients(
    compute_scores,
    features,
    batch_size,
    parts=1,
    adversarial_epsilon=0.0,
    frozen=None,
    loss_scale=None,
):
    """Scores and gradients of one step.

    Args:
        features: dict of tensors; the first dimension is `batch_size`.
        batch_size: int, a multiple of `parts`.
        parts: compute the batch in so many equal parts, one after the other, which needs less
            memory; the gradient is the mean over the parts.
        adversarial_epsilon: see `adversarial_gradients`; 0: none.
        frozen: see `trained_variables`; only without adversarial noise.
        loss_scale: scalar tensor by which the gradients are multiplied; as `frozen`.

    Returns:
        Dict of scores, list of (gradient, variable).
    """

    def of_features(some_features):
        if adversarial_epsilon:
            return adversarial_gradients(compute_scores, some_features, adversarial_epsilon)
        return plain_gradients(compute_scores, some_features, frozen, loss_scale)

    if parts == 1:
        return of_features(features)
    return _in_parts(of_features, features, batch_size, parts)


def plain_gradients(compute_scores, features, frozen=None, loss_scale=None):
    """The scores, and (gradient, variable) of every variable that the loss depends on."""
    scores = compute_scores(features)
    variables = trained_variables(frozen)
    pairs = zip(tf.gradients(scores["loss"], variables, loss_scale), variables)
    return scores, [(gradient, variable) for gradient, variable in pairs if gradient is not None]


def adversarial_gradients(compute_scores, features, epsilon):
    """Adds the gradient at word embeddings that are moved to where the loss grows most.

    The fast gradient method (https://arxiv.org/abs/1605.07725): the table of word embeddings e is
    replaced by e + epsilon * g / |g|, with g the gradient of the loss over the whole table, and
    the gradient there is added to that of the batch itself.  A step takes twice as long.

    Args:
        epsilon: length of the move, 2-norm over the whole table.

    Returns:
        The scores of the batch itself, list of (gradient, variable).
    """
    scores, pairs = plain_gradients(compute_scores, features)
    ((gradient, table),) = (pair for pair in pairs if pair[1].op.name.endswith(WORD_EMBEDDINGS))
    direction = dense_gradient(gradient, table)
    # The smallest positive float instead of a norm of 0: no gradient, no move.
    length = tf.maximum(tf.norm(direction), 1e-30)
    move = tf.stop_gradient(direction * (epsilon / length))

    def moved(getter, name, *arguments, **keywords):
        variable = getter(name, *arguments, **keywords)
        return variable + move if name.endswith(WORD_EMBEDDINGS) else variable

    with tf.variable_scope(tf.get_variable_scope(), reuse=True, custom_getter=moved):
        moved_scores = compute_scores(features)
    variables = [variable for _, variable in pairs]
    more = tf.gradients(moved_scores["loss"], variables)
    return scores, [
        (dense_gradient(first, variable) + dense_gradient(second, variable), variable)
        for (first, variable), second in zip(pairs, more)
    ]


def _in_parts(of_features, features, batch_size, parts):
    size = batch_size // parts

    def of_part(index):
        scores, pairs = of_features(
            {name: _rows(value, index * size, size) for name, value in features.items()}
        )
        return scores, [(dense_gradient(*pair), pair[1]) for pair in pairs]

    def add_part(index, *totals):
        with tf.variable_scope(tf.get_variable_scope(), reuse=True):
            scores, pairs = of_part(index)
        values = [*scores.values(), *(gradient for gradient, _ in pairs)]
        return [index + 1, *(total + value for total, value in zip(totals, values))]

    scores, pairs = of_part(0)  # outside of the loop, where variables can be created
    start = [*scores.values(), *(gradient for gradient, _ in pairs)]
    _, *totals = tf.while_loop(
        lambda index, *_: index < parts,
        add_part,
        [tf.constant(1), *start],
        parallel_iterations=1,
        back_prop=False,
    )
    means = [total / parts for total in totals]
    return (
        dict(zip(scores, means)),
        [(mean, variable) for mean, (_, variable) in zip(means[len(scores) :], pairs)],
    )


def _rows(value, start, size):
    """`value[start : start + size]` with a static shape, which layers/fusion.py wants."""
    others = value.shape.ndims - 1
    return tf.slice(value, [start] + [0] * others, [size] + [-1] * others)


def trained_variables(frozen=None):
    """The trainable variables of the graph without the frozen ones.

    Args:
        frozen: regular expression; variables whose name has a match anywhere stay as they are.

    Raises:
        InputError: it matches no variable, or all.
    """
    variables = tf.trainable_variables()
    if not frozen:
        return variables
    kept = [variable for variable in variables if not re.search(frozen, variable.op.name)]
    if len(kept) in (0, len(variables)):
        raise InputError(
            "--freeze='%s' matches %s variable of the model; names are such as %s."
            % (frozen, "no" if kept else "every", variables[0].op.name)
        )
    return kept


def check_frozen(frozen):
    """Raises InputError unless `frozen` is a regular expression or None."""
    try:
        re.compile(frozen or "")
    except re.error as error:
        raise InputError("--freeze='%s' is no regular expression (%s)." % (frozen, error)) from None


class LossScale:
    """Dynamic loss scaling, which keeps small gradients from becoming 0 in float16.

    The loss is multiplied by `value` before differentiation and gradients are divided by it
    after.  A step whose gradients overflow is not taken and halves `value`; `growth_steps` steps
    without overflow double it.  Both variables are saved in checkpoints.
    """

    INITIAL, LARGEST = 2.0**15, 2.0**24

    def __init__(self, growth_steps=2000):
        self._growth_steps = growth_steps
        kind = {"trainable": False, "use_resource": True}
        self.value = tf.get_variable("loss_scale", initializer=self.INITIAL, **kind)
        self._good_steps = tf.get_variable("loss_scale_good_steps", initializer=0, **kind)

    def unscale(self, gradients):
        """Divides the gradients in a list of (gradient, variable)."""
        factor = 1.0 / self.value.read_value()
        return [(dense_gradient(*pair) * factor, pair[1]) for pair in gradients]

    def update(self, finite):
        """Op that changes the scale after a step.

        Args:
            finite: bool scalar tensor, whether all gradients of the step were finite.
        """
        value, good_steps = self.value.read_value(), self._good_steps.read_value()
        grow = tf.logical_and(finite, good_steps + 1 >= self._growth_steps)
        factor = tf.where(grow, 2.0, tf.where(finite, 1.0, 0.5))
        next_value = tf.clip_by_value(value * factor, 1.0, self.LARGEST)
        next_steps = tf.where(tf.logical_and(finite, tf.logical_not(grow)), good_steps + 1, 0)
        return tf.group(
            self.value.assign(next_value, read_value=False),
            self._good_steps.assign(next_steps, read_value=False),
        )
