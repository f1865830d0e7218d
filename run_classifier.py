"""Fine-tunes ALBERT on a classification task, evaluates, predicts.

    python run_classifier.py --task_name=lcqmc_pair --do_train --do_eval --do_predict \\
        --data_dir=lcqmc --output_dir=lcqmc_output \\
        --bert_config_file=albert_tiny/albert_config_tiny.json --vocab_file=albert_tiny/vocab.txt \\
        --init_checkpoint=albert_tiny/albert_model.ckpt \\
        --max_seq_length=128 --train_batch_size=64 --learning_rate=1e-4 --num_train_epochs=5

Checkpoints of every family fine-tune here; the config decides.  `output_dir` is complete by
itself afterwards: similarity.py needs nothing else.  `--list_tasks` prints all tasks.
"""

from absl import flags

from albert.basics import cli, tf_compat
from albert.basics.errors import InputError
from albert.finetuning import seeds
from albert.finetuning.classification.features import (  # noqa: F401 (public here)
    InputFeatures,
    convert_single_example,
    file_based_convert_examples_to_features,
    file_based_input_fn_builder,
)
from albert.finetuning.classification.predictions import PREDICT_FILE  # noqa: F401 (public here)
from albert.finetuning.classification.reports import EVAL_FILE  # noqa: F401 (public here)
from albert.finetuning.flags import define_flags, own_options
from albert.finetuning.model_fn import model_fn_builder  # noqa: F401 (public here)
from albert.finetuning.run import Run
from albert.finetuning.tasks import registry
from albert.finetuning.tasks.base import (  # noqa: F401 (public here)
    DataProcessor,
    InputExample,
    PaddingInputExample,
)
from albert.finetuning.tasks.registry import get_processor  # noqa: F401 (public here)
from albert.heads.classification import create_model  # noqa: F401 (public here)
from albert.model_files import checkpoints, configuration


def run(config, options):
    """Does what the flags say in one output folder.

    Args:
        config: model config.
        options: `{flag: value}` of albert/finetuning/flags.py.

    Returns:
        The content of results.json.
    """
    one_run = Run(config, options)
    content = {}
    try:
        for flag, action in (
            ("do_train", one_run.train),
            ("do_eval", one_run.evaluate),
            ("do_eval_test", one_run.evaluate_test),
            ("do_predict", one_run.predict),
        ):
            if getattr(options, flag):
                action()
                content = one_run.results.write()
    finally:
        one_run.close()
    return content


def main(_):
    options = own_options(flags.FLAGS)
    if options.list_tasks:
        print(registry.list_tasks())
        return
    tf_compat.use_graph_mode()
    if not options.bert_config_file:
        raise InputError("--bert_config_file is required.")
    config = configuration.load_config(options.bert_config_file)
    if options.init_checkpoint:
        checkpoint = checkpoints.resolve_checkpoint(options.init_checkpoint)
        options = options._replace(init_checkpoint=checkpoint)
    if options.seeds > 1:
        seeds.run_seeds(run, config, options)
    else:
        run(config, options)


if __name__ == "__main__":
    cli.run(main, define_flags)
