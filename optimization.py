"""Optimizers, learning rate schedule, gradient clipping and the training operation."""

import functools
import re
from typing import Any, NamedTuple

from absl import logging

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from lamb_optimizer import LAMBOptimizer, MomentOptimizer, dense_gradient

# What every published model was trained with; the reference scripts have no flags for it.
CLIP_NORM = 1.0
HYPER_PARAMETERS = {
    "weight_decay_rate": 0.01,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-6,
    "exclude_from_weight_decay": ("LayerNorm", "layer_norm", "bias"),
}


class AdamWeightDecayOptimizer(MomentOptimizer):
    """AdamW (https://arxiv.org/abs/1711.05101) without bias correction; see MomentOptimizer."""

    def __init__(
        self,
        learning_rate,
        weight_decay_rate=0.0,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
        exclude_from_weight_decay=None,
        name="AdamWeightDecayOptimizer",
        learning_rate_factors=None,
    ):
        super().__init__(
            learning_rate,
            weight_decay_rate,
            beta_1,
            beta_2,
            epsilon,
            exclude_from_weight_decay,
            ("adam_m", "adam_v"),
            name,
            learning_rate_factors,
        )


OPTIMIZERS = {
    "adamw": AdamWeightDecayOptimizer,
    "lamb": LAMBOptimizer,
    "lamb_brightmart": functools.partial(
        LAMBOptimizer, exclude_from_layer_adaptation=(), slot_names=("lamb_m", "lamb_v")
    ),
}


def learning_rate_schedule(
    global_step, init_lr, num_train_steps, num_warmup_steps, power=1.0, start_warmup_step=0
):
    """Linear warm-up, then polynomial decay to 0.

    The decay counts from step 0, not from the end of the warm-up, so the rate drops there and
    never reaches `init_lr`; published models were trained so.

    Args:
        global_step: number of steps done before this one; integer scalar tensor or variable.
        init_lr: rate from which the decay starts.
        num_train_steps: step at which the rate reaches 0, where it stays.
        num_warmup_steps: length of the warm-up; 0 or None for none.
        power: exponent of the decay.
        start_warmup_step: step at which the warm-up starts; the rate before it is 0.

    Returns:
        float32 scalar tensor.

    Raises:
        InputError: `num_train_steps` is not positive, or `num_warmup_steps` is negative.
    """
    num_warmup_steps = num_warmup_steps or 0
    if num_train_steps <= 0:
        raise InputError("num_train_steps is %d; it must be positive." % num_train_steps)
    if num_warmup_steps < 0:
        raise InputError("num_warmup_steps is %d; it must not be negative." % num_warmup_steps)
    if num_warmup_steps > num_train_steps:
        logging.warning(
            "num_warmup_steps (%d) is greater than num_train_steps (%d): the learning rate never "
            "decays.",
            num_warmup_steps,
            num_train_steps,
        )
    step = tf.cast(global_step, tf.float32)
    progress = tf.minimum(step, num_train_steps) / num_train_steps
    decayed = init_lr * tf.pow(1.0 - progress, power)
    if num_warmup_steps == 0:
        return decayed
    warmup_step = tf.maximum(step - start_warmup_step, 0.0)
    warmed_up = init_lr * (warmup_step / num_warmup_steps)
    return tf.where(warmup_step < num_warmup_steps, warmed_up, decayed)


def make_optimizer(name, learning_rate, learning_rate_factors=None, use_tpu=False):
    """The optimizer of a name, with the hyper-parameters of the published models.

    Args:
        name: "adamw" (fine-tuning), "lamb" (google-research/albert) or "lamb_brightmart"
            (albert_zh run_pretraining.py).
        learning_rate: float or scalar tensor.
        learning_rate_factors: see MomentOptimizer, for example `layerwise_factors(...)`.
        use_tpu: sum gradients over the cores of a TPU.  Its gradients (`compute_gradients`) are
            those of a core divided by the number of cores.

    Raises:
        InputError: there is no such optimizer.
    """
    if name not in OPTIMIZERS:
        raise InputError(
            "optimizer is '%s'; it must be one of %s." % (name, ", ".join(sorted(OPTIMIZERS)))
        )
    optimizer = OPTIMIZERS[name](
        learning_rate, learning_rate_factors=learning_rate_factors, **HYPER_PARAMETERS
    )
    return tf.tpu.CrossShardOptimizer(optimizer) if use_tpu else optimizer


class TrainOp(NamedTuple):
    """One training step.

    Attributes:
        train_op: the operation; runs of it are the steps.
        learning_rate: scalar tensor, the rate of this step.
        gradient_norm: scalar tensor, before clipping.
        global_step: the variable that counts steps.
        applied: bool tensor, False in a step that changes nothing; None where there are no such
            steps.
    """

    train_op: Any
    learning_rate: Any
    gradient_norm: Any
    global_step: Any
    applied: Any = None


def build_train_op(
    optimizer,
    learning_rate,
    gradients,
    reference_clip_norm=False,
    skip_above=None,
    use_tpu=False,
):
    """Builds one training step: clipping to global norm 1, check, update.

    The step increases the step count once.  A gradient norm that is not finite raises
    `tf.errors.InvalidArgumentError` at run time before anything is changed, unless `skip_above` is
    given.

    Args:
        optimizer: from `make_optimizer`.
        learning_rate: its rate.
        gradients: list of (gradient, variable); a gradient may be None.
        reference_clip_norm: take the norm over the un-summed rows of sparse gradients, as the
            reference does on CPU and GPU in fine-tuning (docs/reference.md, "Clipping").
        skip_above: a step whose gradient norm is not finite or above this changes nothing, nor
            the step count.
        use_tpu: there every core clips its own gradients before they are summed, and nothing is
            checked or skipped, as a TPU cannot raise.

    Returns:
        `TrainOp`.

    Raises:
        ValueError: no variable has a gradient.
    """
    pairs = [pair for pair in gradients if pair[0] is not None]
    if not pairs:
        raise ValueError("The loss depends on no trainable variable.")
    dense_gradients = [dense_gradient(*pair) for pair in pairs]
    norm = tf.global_norm([pair[0] for pair in pairs] if reference_clip_norm else dense_gradients)
    skips = skip_above is not None and not use_tpu
    if not (skips or use_tpu):
        norm = tf.debugging.check_numerics(
            norm, "The gradient norm is not finite; training stops before this step's update."
        )
    clipped, _ = tf.clip_by_global_norm(dense_gradients, CLIP_NORM, use_norm=norm)
    global_step = tf.train.get_or_create_global_step()

    # Every update has the clipped gradients, hence the checked norm of all gradients, and the
    # learning rate as inputs; global_step increases after all updates.  So the order is: read
    # global_step and variables, check, update, count.
    def apply():
        variables = [variable for _, variable in pairs]
        with tf.control_dependencies([optimizer.apply_gradients(zip(clipped, variables))]):
            return tf.group(global_step.assign_add(1, read_value=False))

    if not skips:
        return TrainOp(apply(), learning_rate, norm, global_step)
    applied = tf.math.is_finite(norm) & (norm <= skip_above)
    return TrainOp(_apply_if(applied, apply), learning_rate, norm, global_step, applied)


def _apply_if(condition, apply):
    """Operation that does what `apply` builds if `condition` holds."""

    def done():
        with tf.control_dependencies([apply()]):
            return tf.constant(True)

    return tf.cond(condition, done, lambda: tf.constant(False)).op


def create_optimizer(
    loss,
    init_lr,
    num_train_steps,
    num_warmup_steps,
    use_tpu=False,
    optimizer="adamw",
    poly_power=1.0,
    start_warmup_step=0,
    colocate_gradients_with_ops=False,
    excluded_tvars=None,
):
    """The operation of one training step: schedule, gradients, `build_train_op`.

    The step uses the learning rate of the step count before it, and counts itself once.

    Args:
        loss: float32 scalar tensor.
        init_lr, num_train_steps, num_warmup_steps, start_warmup_step: see learning_rate_schedule.
        use_tpu: build for TPU.
        optimizer: see `make_optimizer`.
        poly_power: exponent of the learning rate decay.
        colocate_gradients_with_ops: compute each gradient on the device of its operation.
        excluded_tvars: names of trainable variables, with or without ":0", that stay as they are.

    Raises:
        InputError: unknown `optimizer`, invalid step counts, or no variable of an excluded name.
        ValueError: no trainable variable has a gradient.
    """
    rate = learning_rate_schedule(
        tf.train.get_or_create_global_step(),
        init_lr,
        num_train_steps,
        num_warmup_steps,
        poly_power,
        start_warmup_step,
    )
    applier = make_optimizer(optimizer, rate, use_tpu=use_tpu)
    gradients = applier.compute_gradients(
        loss,
        _without(tf.trainable_variables(), excluded_tvars) if excluded_tvars else None,
        colocate_gradients_with_ops=colocate_gradients_with_ops,
    )
    return build_train_op(applier, rate, gradients, use_tpu=use_tpu).train_op


def _without(tvars, excluded):
    """The variables but those of some names; InputError if there is none of a name."""
    excluded = {name.split(":")[0] for name in excluded}
    unknown = excluded.difference(variable.op.name for variable in tvars)
    if unknown:
        raise InputError(
            "excluded_tvars names %s, which is no trainable variable of the graph; there are such "
            "as %s." % (", ".join(sorted(unknown)), tvars[0].op.name if tvars else "none")
        )
    return [variable for variable in tvars if variable.op.name not in excluded]


def layerwise_factors(variable_names, decay):
    """Learning rates that shrink with the distance from the output.

    ALBERT's layers share their weights, so a layer has no rate of its own.  The levels, from the
    output down, are: head, pooler, the blocks (as many levels as there are different ones: one for
    published models), the projection of the embeddings, the embeddings.

    Args:
        variable_names: names of the trainable variables.
        decay: factor from one level to the next below.

    Returns:
        Function of a variable's name, returning `decay` to the power of its level; the head is
        level 0.
    """
    blocks = sorted({_block(name) for name in variable_names if _block(name) is not None})
    levels = {block: 1 + len(blocks) - place for place, block in enumerate(blocks)}

    def factor(name):
        block = _block(name)
        if block is not None:
            level = levels[block]
        elif re.search("word_embeddings_2|embedding_hidden_mapping_in", name):
            level = 2 + len(blocks)
        elif "/embeddings/" in name:
            level = 3 + len(blocks)
        else:
            level = 1 if "/pooler/" in name else 0
        return decay**level

    return factor


def _block(name):
    """Number of the block that a variable belongs to, as a tuple; None: it is of no block."""
    found = re.search(r"/layer_shared|/layer_(\d+)/|/group_(\d+)/inner_group_(\d+)/", name)
    return found and tuple(int(number) for number in found.groups() if number)
