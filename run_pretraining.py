"""Pre-trains ALBERT (masked language model, sentence order) on create_pretraining_data's records.

A small model on one machine:

    python run_pretraining.py --input_file=data/tf_*.tfrecord --output_dir=my_model \\
        --bert_config_file=albert_config/albert_config_tiny.json --do_train --do_eval \\
        --max_seq_length=512 --max_predictions_per_seq=51 --train_batch_size=32 \\
        --learning_rate=1e-4 --num_train_steps=100000 --num_warmup_steps=10000

The published brightmart models: --train_batch_size=4096 --num_train_steps=125000
--num_warmup_steps=12500 --learning_rate=0.00176 --save_checkpoints_steps=2000 --use_tpu.

Several machines or processes: scripts/run_pretraining_multi_worker.sh.

A run that was interrupted continues from its last checkpoint when started again.  SIGTERM, Ctrl-C
and SIGHUP write a checkpoint first and end with status 143, 130 and 129.
"""

import sys

from absl import flags, logging

import modeling
from albert.basics import cli, tf_compat
from albert.basics.errors import InputError
from albert.heads.pretraining import (  # noqa: F401 (public here)
    gather_indexes,
    get_masked_lm_output,
    get_next_sentence_output,
    get_sentence_order_output,
)
from albert.layers import products
from albert.pretraining.flags import define_flags, resolve_flags
from albert.pretraining.run import run
from albert.training import distribution, worker_cluster


def main(_):
    values = flags.FLAGS
    tf_compat.use_graph_mode()
    if not values.bert_config_file:
        raise InputError("--bert_config_file is required.")
    config = modeling.load_config(values.bert_config_file)
    settings = resolve_flags(values, config)
    products.warn_if_slow(settings.precision)
    try:
        with distribution.create(settings) as devices:
            run(config, settings, devices)
    except worker_cluster.WorkerLost as error:
        logging.error("another worker is lost: %s Start all workers again.", error)
        sys.exit(worker_cluster.RESTART_STATUS)


if __name__ == "__main__":
    cli.run(main, define_flags)
