"""What albert_zh's classifiers train with: AdamW behind `create_optimizer`."""

import optimization
from optimization import AdamWeightDecayOptimizer, LAMBOptimizer  # noqa: F401 (public here)


def create_optimizer(loss, init_lr, num_train_steps, num_warmup_steps, use_tpu=False):
    """The operation of one training step by AdamW; see `optimization.create_optimizer`."""
    return optimization.create_optimizer(loss, init_lr, num_train_steps, num_warmup_steps, use_tpu)
