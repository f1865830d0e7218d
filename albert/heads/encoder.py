"""The encoder under a head, with the variables' names of the published checkpoints."""

import modeling
from albert.model_files import variables


def build_encoder(config, features, is_training=False, use_one_hot_embeddings=False):
    """`modeling.BertModel` in the variable scope "bert".

    Args:
        config: model config of any family.
        features: dict; "input_ids", "input_mask" and "segment_ids", int32
            `[batch_size, seq_length]`, are read.  Without a mask nothing is padded, without
            segments all are 0.
        is_training: False switches dropout off.
        use_one_hot_embeddings: see `modeling.BertModel`.
    """
    return modeling.BertModel(
        config,
        is_training,
        features["input_ids"],
        features.get("input_mask"),
        features.get("segment_ids"),
        use_one_hot_embeddings,
        scope=variables.MODEL,
    )
