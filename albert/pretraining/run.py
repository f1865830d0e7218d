"""One run of pre-training: training, evaluation, and what is done before and between."""

import contextlib
import os

from absl import logging

from albert.basics import console, locks, storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import costs, model_folder
from albert.model_files.configuration import BRIGHTMART
from albert.pretraining import model_files, record_files
from albert.pretraining.index import RecordIndex, copy_index
from albert.pretraining.input import input_fn_builder
from albert.pretraining.model_fn import model_fn_builder
from albert.pretraining_data import descriptions
from albert.training import estimator, run_settings
from albert.training.model_fn import check_start, create_estimator
from albert.training.signals import StopOnSignal
from albert.training.watch import TrainingWatch, each_once

# What the console says of each metric of an evaluation.
_MEANINGS = {
    "global_step": "step of training",
    "loss": "both losses, mean over the batches",
    "masked_lm_accuracy": "share of the masked tokens that are predicted right",
    "masked_lm_loss": "mean over the masked tokens",
    "sentence_order_accuracy": "share of the records whose order is told right",
    "sentence_order_loss": "mean over the records",
}


def run(config, settings, devices):
    """Trains, evaluates, or both.

    Args:
        config: model config.
        settings: `flags.PretrainingSettings`.
        devices: `distribution.Distribution`.

    Raises:
        InputError: files, settings and an earlier run do not fit each other, or training diverges.
        worker_cluster.WorkerLost: another worker ended.
    """
    chiefs_folder = settings.output_dir
    if settings.init_checkpoint:
        checkpoint = model_folder.resolve_and_say(settings.init_checkpoint)
        settings = settings._replace(init_checkpoint=checkpoint)
    settings = settings._replace(output_dir=devices.own_folder(chiefs_folder))
    log_file = os.path.join(settings.output_dir, console.LOG_FILE)
    with contextlib.ExitStack() as stack:
        stack.enter_context(console.lasting_output(log_file))
        stop = stack.enter_context(StopOnSignal())
        stack.enter_context(storage.kept_if_used(settings.output_dir))
        if settings.do_train:  # evaluation alone may look at a run that goes on
            stack.enter_context(locks.only_writer(settings.output_dir))
        _run(config, settings, devices, chiefs_folder, stop)


def _run(config, settings, devices, chiefs_folder, stop):
    if not devices.is_chief:  # saves reading all records once more where it can see that folder
        copy_index(chiefs_folder, settings.output_dir)
    logging.info("Model config:\n%s", config.to_json_string())
    flops = costs.training_flops(config, settings.max_seq_length, settings.max_predictions_per_seq)
    watch = TrainingWatch(settings, flops, has_best_prefix=config.family != BRIGHTMART)
    model = create_estimator(
        model_fn_builder(config, settings, watch, devices),
        settings,
        watch.saved,
        watch.before_save,
        devices,
    )
    if settings.do_train:
        train(config, settings, model, watch, devices, stop)
    if settings.do_eval and devices.is_chief:
        evaluate(config, settings, model)


# Training


def train(config, settings, model, watch, devices, stop):
    """Trains up to `num_train_steps`, from the latest checkpoint of `output_dir` if it has one.

    Args:
        config, settings, devices: see `run`.
        model: the estimator.
        watch: `watch.TrainingWatch`, which the estimator and its model_fn have too.
        stop: `signals.StopOnSignal` in whose context this happens.
    """
    with devices.watched():
        # What is wrong in one worker, with the chief's folder above all, ends all of them.
        with devices.failing_together():
            records, problem = _prepare(config, settings, model, watch)
        progress = [estimator.latest_step(settings.output_dir), watch.state.examples]
        step, watch.state.examples = devices.chief_values(progress)
        if step >= settings.num_train_steps:
            print(
                "Nothing left to train: %s is at step %d of %d."
                % (settings.output_dir, step, settings.num_train_steps)
            )
        else:
            _announce(settings, devices, records, step)
        input_fn = input_fn_builder(
            records,
            _record_shape(config, settings),
            is_training=True,
            random_seed=settings.seed,
            shuffle_buffer=settings.shuffle_buffer,
            first_example=watch.state.examples,
            shard=(devices.num_workers, devices.worker),
        )
        with stop.saving_first():
            model.train(input_fn, settings.num_train_steps, [stop], problem)
    stop.exit_if_stopped(estimator.latest_step(settings.output_dir))


def _announce(settings, devices, records, step):
    """Says what training begins with; `step` is that of the latest checkpoint, or 0."""
    if step:
        print("Resuming from step %d of %s." % (step, settings.output_dir))
    print(
        "Training on %d records in %d files, %s, up to step %d."
        % (
            sum(file.count for file in records),
            len(records),
            devices.describe(settings.train_batch_size, settings.gradient_accumulation_steps),
            settings.num_train_steps,
        )
    )


def _prepare(config, settings, model, watch):
    """Checks files and settings, and makes the watch resume.

    Returns:
        The records to train on, and what tells whether their files have changed since.
    """
    model_folder.check_output_folder(settings.output_dir, of_task=False)
    check_start(config, settings)
    files = _checked_files(config, settings, "input_file", settings.input_file)
    evaluation = ()
    if settings.eval_file and settings.eval_during_training and not settings.use_tpu:
        evaluation = _evaluation(config, settings, model)
    vocabulary = model_files.find_vocabulary(settings, files)
    index = _record_index(config, settings)
    lasting = _lasting_settings(config, settings, index.identities(files))
    first_step = estimator.latest_step(settings.output_dir)
    if first_step:
        _check_run_settings(settings, lasting, index)
    records = index.read(files)
    if not first_step:  # nothing is left where the records are bad
        _check_run_settings(settings, lasting, index)
    model_files.write(settings, vocabulary)
    watch.resume(first_step, *evaluation)
    return records, lambda: index.change(files)


def _check_run_settings(settings, lasting, index):
    run_settings.check_run_settings(
        settings.output_dir,
        lasting,
        settings.allow_changed_settings,
        differ={"input_files": index.difference},
    )


def _lasting_settings(config, settings, files):
    """What must not change between a run and its resumption: a dict for `run_settings`.

    Args:
        config, settings: see `run`.
        files: `RecordIndex.identities` of the records.
    """
    lasting = {
        "max_seq_length": settings.max_seq_length,
        "max_predictions_per_seq": settings.max_predictions_per_seq,
        "train_batch_size": settings.train_batch_size,
        "optimizer": settings.optimizer,
        "learning_rate": settings.learning_rate,
        "poly_power": settings.poly_power,
        "num_train_steps": settings.num_train_steps,
        "num_warmup_steps": settings.num_warmup_steps,
        "start_warmup_step": settings.start_warmup_step,
        "shuffle_buffer": settings.shuffle_buffer,
        "seed": settings.seed,
        "config": config.to_dict(),
        "input_files": files,
    }
    if settings.freeze:  # runs of before this flag have no such entry
        lasting["freeze"] = settings.freeze
    return lasting


# Evaluation


def evaluate(config, settings, model):
    """Evaluates the latest checkpoint, and writes `eval_results.txt`, under all names there are.

    Args:
        config, settings: see `run`.
        model: the estimator.

    Returns:
        Dict of the metrics.
    """
    run_settings.check_run_settings(
        settings.output_dir,
        {"config": config.to_dict()},
        settings.allow_changed_settings,
        only_these=True,
    )
    evaluate_checkpoint, _ = _evaluation(config, settings, model)
    result = evaluate_checkpoint(None)
    lines = ["%s = %s\n" % (key, result[key]) for key in sorted(result)]
    print("***** Eval results *****")
    for key, value in sorted(each_once(result).items()):
        print("%s = %s  (%s)" % (key, value, _MEANINGS[key]))
    path = "%s/eval_results.txt" % settings.output_dir.rstrip("/")
    with storage.atomic_write(path) as handle:
        handle.writelines(lines)
    return result


def _evaluation(config, settings, model):
    """How checkpoints are evaluated.

    Returns:
        Function of a checkpoint's prefix (None: the latest) that returns its metrics, and what
        tells evaluations on different data apart.
    """
    flag = "eval_file" if settings.eval_file else "input_file"
    files = _checked_files(config, settings, flag, settings.eval_file or settings.input_file)
    index = _record_index(config, settings)
    if settings.eval_file or settings.max_corrupt_records:
        records = index.read(files)
    else:  # a few batches of what may be very many records
        records = [record_files.record_file(path) for path in files]
    input_fn = input_fn_builder(
        records,
        _record_shape(config, settings),
        is_training=False,
        one_pass=settings.eval_one_pass,
    )
    steps = None if settings.eval_one_pass else settings.max_eval_steps

    def evaluate_checkpoint(checkpoint):
        try:
            return model.evaluate(input_fn, steps, checkpoint)
        except tf.errors.DataLossError as error:
            raise InputError(
                "--%s: a record is damaged; with --max_corrupt_records=1 or more such records are "
                "named and left out." % flag
            ) from error

    evaluated_on = {
        "records": [[os.path.basename(file.path), file.count] for file in records],
        "content": [
            file["content"] for file in index.identities(files if settings.eval_file else [])
        ],
        "steps": steps,
        "batch": settings.eval_batch_size,
    }
    return evaluate_checkpoint, evaluated_on


# Records


def _record_shape(config, settings):
    return record_files.RecordShape(
        settings.max_seq_length, settings.max_predictions_per_seq, config.vocab_size
    )


def _checked_files(config, settings, flag, patterns):
    """Paths of the record files that a flag's value names; their first records are checked."""
    files = storage.match_files(patterns, flag)
    described = descriptions.check_descriptions(
        files, config, settings.max_seq_length, settings.max_predictions_per_seq
    )
    print("--%s: %s" % (flag, descriptions.format_descriptions(files, described)))
    if not settings.max_corrupt_records:
        record_files.check_records(files, _record_shape(config, settings))
    return files


def _record_index(config, settings):
    return RecordIndex(
        settings.output_dir, _record_shape(config, settings), settings.max_corrupt_records
    )
