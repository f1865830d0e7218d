"""Fine-tunes ALBERT on a classification task, evaluates, predicts.

    python run_classifier.py --task_name=lcqmc_pair --do_train --do_eval --do_predict \\
        --data_dir=path/to/lcqmc --output_dir=albert_lcqmc_checkpoints \\
        --bert_config_file=albert_tiny/albert_config_tiny.json --vocab_file=albert_tiny/vocab.txt \\
        --init_checkpoint=albert_tiny/albert_model.ckpt \\
        --max_seq_length=128 --train_batch_size=64 --learning_rate=1e-4 --num_train_epochs=5

Checkpoints of every family fine-tune here; the config decides.  `output_dir` is complete by
itself afterwards: similarity.py needs nothing else.  `--list_tasks` prints all tasks.
"""

from absl import flags

from albert.basics import cli, tf_compat
from albert.conversion import versions
from albert.finetuning.classification.features import (  # noqa: F401 (public here)
    InputFeatures,
    convert_single_example,
    file_based_convert_examples_to_features,
    file_based_input_fn_builder,
)
from albert.finetuning.classification.predictions import PREDICT_FILE  # noqa: F401 (public here)
from albert.finetuning.classification.reference_api import (  # noqa: F401 (public here)
    convert_examples_to_features,
    input_fn_builder,
    model_fn_builder,
)
from albert.finetuning.flags import actions, define_flags, given_flags, own_settings
from albert.finetuning.run import fine_tune
from albert.finetuning.score_files import EVAL_FILE  # noqa: F401 (public here)
from albert.finetuning.tasks.base import (  # noqa: F401 (public here)
    DataProcessor,
    InputExample,
    PaddingInputExample,
)
from albert.finetuning.tasks.chinese import (  # noqa: F401 (public here)
    LcqmcProcessor as LCQMCPairClassificationProcessor,
)
from albert.finetuning.tasks.chinese import (  # noqa: F401 (public here)
    SentencePairProcessor as SentencePairClassificationProcessor,
)
from albert.finetuning.tasks.chinese import XnliProcessor  # noqa: F401 (public here)
from albert.finetuning.tasks.glue import (  # noqa: F401 (public here)
    ColaProcessor,
    MnliProcessor,
    MrpcProcessor,
)
from albert.finetuning.tasks.registry import get_processor, list_tasks  # noqa: F401 (public here)
from albert.heads.classification import create_model  # noqa: F401 (public here)
from albert.model_files import model_folder
from albert.text.encoding import truncate_seq_pair as _truncate_seq_pair  # noqa: F401 (public here)


def main(_):
    settings = own_settings(flags.FLAGS)
    if settings.list_tasks:
        print(list_tasks())
        return
    tf_compat.use_graph_mode()
    if actions(settings) or not settings.export_dir:
        fine_tune(settings, given_flags(flags.FLAGS))
    if settings.export_dir:
        is_best = settings.select_checkpoint == "best"
        model = settings.output_dir if is_best else model_folder.selected_checkpoint(settings)
        versions.export_folder(model, settings.export_dir)


if __name__ == "__main__":
    cli.run(main, define_flags)
