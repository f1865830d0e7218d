"""Several runs that differ in their seed, and what they have in common."""

import os

import numpy as np

from albert.basics import locks, storage
from albert.basics.errors import InputError
from albert.finetuning import output_folder
from albert.model_files import model_folder
from albert.training import best_checkpoint

# What results.json of all runs has of the best one.
_OF_THE_BEST = "metric dev test checkpoint tested_with predicted_with prediction_files data".split()


def run_seeds(run, config, settings):
    """Runs with `--seeds` seeds, counted from `--seed`, in sub-folders `seed_<seed>`.

    The predictions of the run with the best dev score are copied to `output_dir` itself, whose
    results.json has the scores of all runs, their mean and their deviation.

    Args:
        run: function of config and settings that returns the content of results.json.
        config: model config.
        settings: `FinetuningSettings`.

    Returns:
        The content of results.json.
    """
    if not settings.output_dir:
        raise InputError("--output_dir is required.")
    if not settings.do_eval:
        raise InputError("--seeds compares the runs by their dev scores; pass --do_eval.")
    output_dir = settings.output_dir
    if settings.do_train:
        model_folder.check_output_folder(output_dir, of_task=True)
    storage.prepare_checkpoint_dir(output_dir)
    with locks.only_writer(output_dir):
        return _run_all(run, config, settings, output_dir)


def _run_all(run, config, settings, output_dir):
    seeds = [settings.seed + number for number in range(settings.seeds)]
    folders = [model_folder.seed_folder(output_dir, seed) for seed in seeds]
    contents = []
    for number, (seed, folder) in enumerate(zip(seeds, folders), 1):
        print("===== run %d of %d: seed %d, %s" % (number, len(seeds), seed, folder), flush=True)
        contents.append(run(config, settings._replace(seed=seed, output_dir=folder, seeds=1)))
    results = output_folder.Results(config, settings)
    best = _best_run(contents)
    for name in contents[best].get("prediction_files", ()):
        storage.copy(os.path.join(folders[best], name), os.path.join(output_dir, name))
    for key in _OF_THE_BEST:
        results.set(key, contents[best].get(key))
    results.set("seeds", summarize(seeds, contents, best))
    content = results.write()
    print(_describe(content["seeds"], content["checkpoint"]))
    return content


def summarize(seeds, contents, best):
    """Dict of the scores of several runs.

    Args:
        seeds: list of ints.
        contents: of the runs' results.json.
        best: index of the best run.
    """
    summary = {"seeds": seeds, "metric": contents[best]["metric"], "best_seed": seeds[best]}
    for key in ("dev", "test"):
        if all(key in content for content in contents):
            names = sorted(set(contents[best][key]) - {"global_step"})
            summary[key] = {
                name: _statistics([content[key][name] for content in contents])
                for name in names
                if all(name in content[key] for content in contents)
            }
    return summary


def _statistics(values):
    # The deviation of a sample: of all seeds there could be, these are a few.
    return {
        "values": values,
        "mean": float(np.mean(values)),
        "standard_deviation": float(np.std(values, ddof=1)),
    }


def _best_run(contents):
    metric = contents[0]["metric"]
    best = 0
    for number, content in enumerate(contents):
        if best_checkpoint.is_better(metric, content["dev"][metric], contents[best]["dev"][metric]):
            best = number
    return best


def _describe(summary, checkpoint):
    lines = []
    for set_type in ("dev", "test"):
        if set_type in summary:
            scores = summary[set_type][summary["metric"]]
            lines.append(
                "%s %s of %d seeds: %.4f ± %.4f (%s)"
                % (
                    set_type,
                    summary["metric"],
                    len(summary["seeds"]),
                    scores["mean"],
                    scores["standard_deviation"],
                    ", ".join("%.4f" % value for value in scores["values"]),
                )
            )
    lines.append("best on the dev file: seed %d, %s" % (summary["best_seed"], checkpoint))
    return "\n".join(lines)
