"""LAMB, and the moment computation that it shares with AdamW."""

import re

from albert.basics.tf_compat import tf


def dense_gradient(gradient, variable):
    """`gradient` as a tensor of the variable's shape; duplicate rows of slices are summed."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, variable.shape[0])
    return gradient


class MomentOptimizer(tf.train.Optimizer):
    """Adam moments without bias correction, and decoupled weight decay.

    Per variable, with gradient g, everything in the variable's dtype (float32):

        m <- beta_1 * m + (1 - beta_1) * g
        v <- beta_2 * v + (1 - beta_2) * g^2
        u  = m / (sqrt(v) + epsilon) + weight_decay_rate * p
        p <- p - learning_rate * adapt(u)

    As in the reference implementations `apply_gradients`, and so `minimize`, does not count the
    step: whoever builds the training operation does, as `optimization.build_train_op` here and
    programs that add ``global_step.assign(global_step + 1)`` there.

    m and v start at zero and are saved as ``<variable name>/<slot name>``.  Variables without a
    gradient get no slots and are not changed.  The update is dense: rows absent from a sparse
    gradient count as zeros, their moments and weights still decay.

    Args:
        learning_rate: float or scalar tensor.
        weight_decay_rate: factor of p in u.
        beta_1: decay rate of m.
        beta_2: decay rate of v.
        epsilon: added to sqrt(v).
        exclude_from_weight_decay: regular expressions; a variable whose name has a match
            anywhere (`re.search`) is not decayed.
        slot_names: names of the slots of m and v.
        name: prefix of the operations' names.
        learning_rate_factors: function of a variable's name, returning the float by which its
            learning rate is multiplied; None: 1.
    """

    def __init__(
        self,
        learning_rate,
        weight_decay_rate,
        beta_1,
        beta_2,
        epsilon,
        exclude_from_weight_decay,
        slot_names,
        name,
        learning_rate_factors=None,
    ):
        super().__init__(use_locking=False, name=name)
        self._learning_rate = learning_rate
        self._weight_decay_rate = weight_decay_rate
        self._beta_1 = beta_1
        self._beta_2 = beta_2
        self._epsilon = epsilon
        self._exclude_from_weight_decay = exclude_from_weight_decay or ()
        self._slot_names = slot_names
        self._learning_rate_factors = learning_rate_factors

    def _adapt(self, update, value, variable):
        """Rescales u (`update`) given the value p of a variable; the base class does not."""
        del value, variable
        return update

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """The operation of all updates; `global_step` is left alone."""
        del global_step
        return super().apply_gradients(grads_and_vars, name=name)

    def _create_slots(self, var_list):
        for variable in var_list:
            for slot_name in self._slot_names:
                self._zeros_slot(variable, slot_name, slot_name)

    def _prepare(self):
        self._learning_rate_tensor = tf.convert_to_tensor(self._learning_rate, tf.float32)

    def _rate(self, variable):
        """Learning rate of one variable, float32 scalar tensor."""
        if self._learning_rate_factors is None:
            return self._learning_rate_tensor
        return self._learning_rate_tensor * self._learning_rate_factors(_name(variable))

    def _apply_dense(self, grad, var):
        m, v = (self.get_slot(var, slot_name) for slot_name in self._slot_names)
        # One read each, and every use of it is an input of the assignment below it: no
        # assignment can overtake a read, even of a reference variable.
        value = var.read_value()
        next_m = self._beta_1 * m.read_value() + (1.0 - self._beta_1) * grad
        next_v = self._beta_2 * v.read_value() + (1.0 - self._beta_2) * tf.square(grad)

        update = next_m / (tf.sqrt(next_v) + self._epsilon)
        if self._weight_decay_rate and not _matches(self._exclude_from_weight_decay, var):
            update += self._weight_decay_rate * value
        step = self._rate(var) * self._adapt(update, value, var)
        return tf.group(
            var.assign_sub(step, read_value=False),
            m.assign(next_m, read_value=False),
            v.assign(next_v, read_value=False),
        )

    def _apply_sparse(self, grad, var):
        return self._apply_dense(dense_gradient(grad, var), var)

    def _resource_apply_dense(self, grad, handle):
        return self._apply_dense(grad, handle)

    def _resource_apply_sparse(self, grad, handle, indices):
        return self._apply_sparse(tf.IndexedSlices(grad, indices), handle)


class LAMBOptimizer(MomentOptimizer):
    """LAMB (https://arxiv.org/abs/1904.00962, algorithm 2) without bias correction.

    u is multiplied by the trust ratio |p| / |u| of its variable (2-norms over all elements; 1 if
    either is 0).  The two reference implementations differ in these arguments:

    * google-research/albert: the defaults;
    * brightmart/albert_zh ``run_pretraining.py``: ``exclude_from_layer_adaptation=()`` (biases
      and layer norms are adapted too), ``slot_names=("lamb_m", "lamb_v")``.

    Args:
        exclude_from_layer_adaptation: regular expressions; variables whose name has a match keep
            the ratio 1.  None means the same as `exclude_from_weight_decay`, () means none.
        others: see MomentOptimizer.
    """

    def __init__(
        self,
        learning_rate,
        weight_decay_rate=0.0,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
        exclude_from_weight_decay=None,
        exclude_from_layer_adaptation=None,
        name="LAMBOptimizer",
        slot_names=("adam_m", "adam_v"),
        learning_rate_factors=None,
    ):
        super().__init__(
            learning_rate,
            weight_decay_rate,
            beta_1,
            beta_2,
            epsilon,
            exclude_from_weight_decay,
            slot_names,
            name,
            learning_rate_factors,
        )
        if exclude_from_layer_adaptation is None:
            exclude_from_layer_adaptation = self._exclude_from_weight_decay
        self._exclude_from_layer_adaptation = exclude_from_layer_adaptation

    def _adapt(self, update, value, variable):
        if _matches(self._exclude_from_layer_adaptation, variable):
            return update
        value_norm, update_norm = tf.norm(value), tf.norm(update)
        both_positive = tf.logical_and(value_norm > 0.0, update_norm > 0.0)
        return tf.where(both_positive, value_norm / update_norm, 1.0) * update


def _name(variable):
    return variable.name.split(":")[0]


def _matches(patterns, variable):
    return any(re.search(pattern, _name(variable)) for pattern in patterns)
