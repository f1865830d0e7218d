"""One run of pre-training: training, evaluation, and what is done before and between."""

import os

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import checkpoints, costs
from albert.pretraining import record_files
from albert.pretraining.index import RecordIndex, copy_index
from albert.pretraining.input import input_fn_builder
from albert.pretraining.model_fn import model_fn_builder
from albert.pretraining_data import descriptions
from albert.training import estimator, run_settings, safety
from albert.training import watch as training_watch
from albert.training.model_fn import create_estimator


def train(config, options, model, watch, devices):
    """Trains up to `num_train_steps`, from the latest checkpoint of `output_dir` if it has one."""
    with devices.watched():
        # What is wrong in one worker, with the chief's folder above all, ends all of them.
        with devices.failing_together():
            records = _prepare(config, options, model, watch)
        print(
            "Training on %d records in %d files, %s, up to step %d."
            % (
                sum(file.count for file in records),
                len(records),
                devices.describe(options.train_batch_size, options.gradient_accumulation_steps),
                options.num_train_steps,
            )
        )
        (watch.state.examples,) = devices.chief_values([watch.state.examples])
        input_fn = input_fn_builder(
            records,
            options.max_seq_length,
            options.max_predictions_per_seq,
            is_training=True,
            random_seed=options.seed,
            shuffle_buffer=options.shuffle_buffer,
            first_example=watch.state.examples,
            shard=(devices.num_workers, devices.worker),
        )
        with safety.StopOnSignal() as stop:
            model.train(input_fn, max_steps=options.num_train_steps, hooks=[stop])
    stop.exit_if_stopped(estimator.latest_step(options.output_dir))


def _prepare(config, options, model, watch):
    """Checks files and settings, and makes the watch resume; returns the records to train on."""
    files = _checked_files(config, options, "input_file")
    evaluation = ()
    if options.eval_file and options.eval_during_training and not options.use_tpu:
        evaluation = _evaluation(config, options, model)
    settings = {
        name: getattr(options, name)
        for name in (
            "max_seq_length",
            "max_predictions_per_seq",
            "train_batch_size",
            "optimizer",
            "learning_rate",
            "poly_power",
            "num_train_steps",
            "num_warmup_steps",
            "start_warmup_step",
            "shuffle_buffer",
            "seed",
        )
    }
    settings.update(
        (name, getattr(options, name)) for name in ("freeze",) if getattr(options, name)
    )
    settings["config"] = config.to_dict()
    settings["input_files"] = files
    run_settings.check_run_settings(options.output_dir, settings, options.allow_changed_settings)
    first_step = estimator.latest_step(options.output_dir)
    if first_step:
        print("Resuming from step %d of %s." % (first_step, options.output_dir))
    records = _index(config, options, files)
    watch.resume(first_step, *evaluation)
    return records


def _evaluation(config, options, model):
    """How checkpoints are evaluated.

    Returns:
        Function of a checkpoint's prefix (None: the latest) that returns its metrics, and what
        tells evaluations on different data apart.
    """
    flag = "eval_file" if options.eval_file else "input_file"
    files = _checked_files(config, options, flag)
    if flag == "eval_file" or options.max_corrupt_records:
        files = _index(config, options, files)
    else:  # a few batches of what may be very many records
        files = [record_files.record_file(path) for path in files]
    input_fn = input_fn_builder(
        files,
        options.max_seq_length,
        options.max_predictions_per_seq,
        is_training=False,
        one_pass=options.eval_one_pass,
    )
    steps = None if options.eval_one_pass else options.max_eval_steps

    def evaluate_checkpoint(checkpoint):
        try:
            return model.evaluate(input_fn, steps, checkpoint)
        except tf.errors.DataLossError as error:
            raise InputError(
                "--%s: a record is damaged; with --max_corrupt_records=1 or more such records are "
                "named and left out." % flag
            ) from error

    records = [[os.path.basename(file.path), file.count] for file in files]
    evaluated_on = {"records": records, "steps": steps, "batch": options.eval_batch_size}
    return evaluate_checkpoint, evaluated_on


def evaluate(config, options, model):
    """Evaluates the latest checkpoint, writes `eval_results.txt`, returns the metrics."""
    run_settings.check_run_settings(
        options.output_dir,
        {"config": config.to_dict()},
        options.allow_changed_settings,
        only_these=True,
    )
    evaluate_checkpoint, _ = _evaluation(config, options, model)
    result = evaluate_checkpoint(None)
    lines = ["%s = %s\n" % (key, result[key]) for key in sorted(result)]
    print("***** Eval results *****\n" + "".join(lines), end="")
    path = "%s/eval_results.txt" % options.output_dir.rstrip("/")
    with storage.atomic_write(path) as handle:
        handle.writelines(lines)
    return result


def _checked_files(config, options, flag):
    files = storage.match_files(getattr(options, flag), flag)
    described = descriptions.check_descriptions(
        files, config, options.max_seq_length, options.max_predictions_per_seq
    )
    print("--%s: %s" % (flag, descriptions.format_descriptions(files, described)))
    if not options.max_corrupt_records:
        record_files.check_records(
            files, options.max_seq_length, options.max_predictions_per_seq, config.vocab_size
        )
    return files


def _index(config, options, files):
    index = RecordIndex(
        options.output_dir,
        options.max_seq_length,
        options.max_predictions_per_seq,
        config.vocab_size,
        options.max_corrupt_records,
    )
    return index.read(files)


def run(config, options, devices):
    chiefs_folder = options.output_dir
    options = options._replace(output_dir=devices.own_folder(chiefs_folder))
    storage.prepare_output_dir(options.output_dir)
    if not devices.is_chief:  # saves reading all records once more where it can see that folder
        copy_index(chiefs_folder, options.output_dir)
    if options.init_checkpoint:
        checkpoint = checkpoints.resolve_checkpoint(options.init_checkpoint)
        options = options._replace(init_checkpoint=checkpoint)
    logging.info("Model config:\n%s", config.to_json_string())
    flops = costs.training_flops(config, options.max_seq_length, options.max_predictions_per_seq)
    watch = training_watch.TrainingWatch(options, flops)
    model = create_estimator(
        model_fn_builder(config, options, watch, devices),
        options,
        on_save=watch.saved,
        before_save=watch.before_save,
        distribution=devices,
    )
    if options.do_train:
        train(config, options, model, watch, devices)
    if options.do_eval and devices.is_chief:
        evaluate(config, options, model)
