"""Input and scoring on TPU, which needs files, full batches and static shapes."""

import os

import numpy as np

import classifier_features
from classifier_scoring import Outputs
from classifier_tasks import PaddingInputExample


def write_input_fn(name, examples, labels, tokenizer, options, **settings):
    """Writes a record file `<name>.tf_record`, always anew, and returns its `input_fn`."""
    path = os.path.join(options["output_dir"], name + ".tf_record")
    classifier_features.file_based_convert_examples_to_features(
        examples, labels, options["max_seq_length"], tokenizer, path
    )
    return classifier_features.file_based_input_fn_builder(
        path,
        options["max_seq_length"],
        drop_remainder=True,
        regression=classifier_features.is_regression(labels),
        **settings,
    )


def score(model, checkpoint, name, examples, batch_size, labels, tokenizer, options):
    """`classifier_scoring.Outputs` of examples, by the estimator `model`."""
    padding = [PaddingInputExample()] * (-len(examples) % batch_size)
    input_fn = write_input_fn(
        name, examples + padding, labels, tokenizer, options, is_training=False
    )
    results = [
        result for _, result in zip(examples, model.predict(input_fn, checkpoint_path=checkpoint))
    ]
    return Outputs(
        np.array([result["probabilities"] for result in results], np.float32),
        np.array([result["losses"] for result in results], np.float32),
    )
