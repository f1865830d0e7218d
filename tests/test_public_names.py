"""Names that programs of users import, from a folder whose modules are called like our rooms."""

import json
import os
import re
import subprocess
import sys

import pytest

from helpers.paths import ROOT

CLASS, FUNCTION = "isinstance(it, type)", "callable(it) and not isinstance(it, type)"


def takes(*names):
    """Check that a function or class is called with these arguments first."""
    return "list(inspect.signature(it).parameters)[:%d] == %r" % (len(names), list(names))


# Name -> checks: expressions about the name's value, `it`.
CHECKS = {
    "modeling.BertModel": [
        CLASS,
        takes(
            "config",
            "is_training",
            "input_ids",
            "input_mask",
            "token_type_ids",
            "use_one_hot_embeddings",
            "scope",
        ),
    ],
    "modeling.AlbertModel": [
        CLASS,
        takes("config", "is_training", "input_ids", "input_mask"),
        "'use_einsum' in inspect.signature(it).parameters",
    ],
    "modeling.BertConfig": [
        CLASS,
        "it(30000).vocab_size == 30000",
        "it(vocab_size=9, hidden_size=24).hidden_size == 24",
        "it.from_dict({'vocab_size': 9, 'ln_type': 'preln'}).ln_type == 'preln'",
    ],
    "modeling.AlbertConfig": [
        CLASS,
        "it(30000).num_hidden_groups == 1",
        "it.from_dict({'vocab_size': 9, 'num_hidden_groups': 1}).hidden_size == 4096",
    ],
    "modeling.transformer_model": [FUNCTION, takes("input_tensor", "attention_mask")],
    "modeling.embedding_lookup": [FUNCTION, takes("input_ids", "vocab_size", "embedding_size")],
    "modeling.embedding_lookup_factorized": [
        FUNCTION,
        takes("input_ids", "vocab_size", "hidden_size", "embedding_size"),
    ],
    "modeling.embedding_postprocessor": [
        FUNCTION,
        takes(
            "input_tensor",
            "use_token_type",
            "token_type_ids",
            "token_type_vocab_size",
            "token_type_embedding_name",
            "use_position_embeddings",
            "position_embedding_name",
            "initializer_range",
            "max_position_embeddings",
            "dropout_prob",
        ),
    ],
    "modeling.layer_norm_and_dropout": [FUNCTION, takes("input_tensor", "dropout_prob", "name")],
    "modeling.create_attention_mask_from_input_mask": [FUNCTION, takes("from_tensor", "to_mask")],
    "modeling.attention_layer": [
        FUNCTION,
        takes(
            "from_tensor",
            "to_tensor",
            "attention_mask",
            "num_attention_heads",
            "size_per_head",
            "query_act",
            "key_act",
            "value_act",
            "attention_probs_dropout_prob",
            "initializer_range",
            "do_return_2d_tensor",
            "batch_size",
            "from_seq_length",
            "to_seq_length",
        ),
    ],
    "modeling.reshape_to_matrix": [FUNCTION, takes("input_tensor")],
    "modeling.reshape_from_matrix": [FUNCTION, takes("output_tensor", "orig_shape_list")],
    "modeling.assert_rank": [FUNCTION, takes("tensor", "expected_rank", "name")],
    "modeling.get_assignment_map_from_checkpoint": [
        FUNCTION,
        takes("tvars", "init_checkpoint", "num_of_group"),
    ],
    "modeling.gelu": [FUNCTION, "abs(value_of(lambda: it(tf.constant(1.0))) - 0.841192) < 1e-5"],
    "modeling.layer_norm": [
        FUNCTION,
        takes("input_tensor", "name"),
        "abs(value_of(lambda: it(tf.constant([[1.0, 3.0]])))[0, 1] - 1.0) < 1e-5",
    ],
    "modeling.dropout": [
        FUNCTION,
        takes("input_tensor", "dropout_prob"),
        "value_of(lambda: it(tf.constant(2.0), 0.0)) == 2.0",
    ],
    "modeling.dense": [
        FUNCTION,
        "value_of(lambda: it(tf.ones([2, 3]), 4, name='dense')).shape == (2, 4)",
    ],
    "modeling.get_activation": [FUNCTION, "it('gelu') is modeling.gelu", "it('linear') is None"],
    "modeling.get_shape_list": [
        FUNCTION,
        takes("tensor", "expected_rank", "name"),
        "it(tf.zeros([2, 3])) == [2, 3]",
    ],
    "modeling.create_initializer": [FUNCTION, "callable(it(0.02))"],
    "tokenization.FullTokenizer": [
        CLASS,
        "it(vocab_file=vocab_file, do_lower_case=True).tokenize('Ab') != ['Ab']",
        "it(vocab_file).convert_tokens_to_ids(['[CLS]']) == [it(vocab_file).vocab['[CLS]']]",
    ],
    "tokenization.BasicTokenizer": [CLASS, "it(do_lower_case=True).tokenize('你A') == ['你', 'a']"],
    "tokenization.WordpieceTokenizer": [CLASS, "it({'a': 0, '##b': 1}).tokenize('ab')[1] == '##b'"],
    "tokenization.load_vocab": [FUNCTION, "'[MASK]' in it(vocab_file)"],
    "tokenization.convert_to_unicode": [FUNCTION, "it(b'a') == 'a'"],
    "tokenization.printable_text": [FUNCTION, "it('a') == 'a'"],
    "tokenization.convert_by_vocab": [FUNCTION, "it({'a': 3}, ['a']) == [3]"],
    "tokenization.convert_tokens_to_ids": [FUNCTION, "it({'a': 3}, ['a']) == [3]"],
    "tokenization.convert_ids_to_tokens": [FUNCTION, "it({3: 'a'}, [3]) == ['a']"],
    "tokenization.whitespace_tokenize": [FUNCTION, "it(' a b ') == ['a', 'b']"],
    "tokenization.validate_case_matches_checkpoint": [FUNCTION, "it(True, None) is None"],
    "tokenization.preprocess_text": [FUNCTION, "it(' Ａ  b ', lower=True) == 'a b'"],
    "tokenization.encode_pieces": [FUNCTION, takes("sp_model", "text", "return_unicode", "sample")],
    "tokenization.encode_ids": [FUNCTION, takes("sp_model", "text", "sample")],
    "tokenization.SPIECE_UNDERLINE": ["it.decode('utf-8') == chr(0x2581)"],
    "tokenization.FullTokenizer.from_scratch": [
        "it(vocab_file, True, None).tokenize('Ab') == tokenization.FullTokenizer(vocab_file)"
        ".tokenize('ab')",
    ],
    "tokenization.BasicTokenizer._is_chinese_char": [
        "[it(tokenization.BasicTokenizer(), ord(c)) for c in 'a你'] == [False, True]",
    ],
    "tokenization._is_whitespace": [FUNCTION, "[it(c) for c in 'a\\t'] == [False, True]"],
    "tokenization._is_control": [FUNCTION, "[it(c) for c in '\\t\\x00'] == [False, True]"],
    "tokenization._is_punctuation": [FUNCTION, "[it(c) for c in 'a。$'] == [False, True, True]"],
    "optimization.create_optimizer": [
        FUNCTION,
        takes(
            "loss",
            "init_lr",
            "num_train_steps",
            "num_warmup_steps",
            "use_tpu",
            "optimizer",
            "poly_power",
            "start_warmup_step",
            "colocate_gradients_with_ops",
            "excluded_tvars",
        ),
    ],
    "optimization_finetuning.create_optimizer": [
        FUNCTION,
        takes("loss", "init_lr", "num_train_steps", "num_warmup_steps", "use_tpu"),
    ],
    "optimization_finetuning.AdamWeightDecayOptimizer": [CLASS],
    "optimization.AdamWeightDecayOptimizer": [CLASS, takes("learning_rate", "weight_decay_rate")],
    "lamb_optimizer.LAMBOptimizer": [CLASS, takes("learning_rate", "weight_decay_rate")],
    "args.file_path": ["it == root"],
    "args.model_dir": ["it == os.path.join(root, 'albert_lcqmc_checkpoints/')"],
    "args.output_dir": ["it == os.path.join(root, 'albert_lcqmc_checkpoints/')"],
    "args.config_name": ["os.path.isfile(it)"],
    "args.vocab_file": ["os.path.basename(it) == 'vocab.txt'"],
    "args.ckpt_name": ["os.path.basename(it) == 'model.ckpt'"],
    "args.data_dir": ["isinstance(it, str)"],
    "args.graph_file": ["isinstance(it, str)"],
    "args.max_seq_len": ["it is None"],
    "args.batch_size": ["it == 128"],
    "args.num_train_epochs": ["it == 10"],
    "args.learning_rate": ["it == 5e-5"],
    "args.gpu_memory_fraction": ["it == 0.8"],
    "args.layer_indexes": ["it == [-2]"],
    "args.pooling": ["it == 'mean'"],
    "args.precision": ["it == 'float32'"],
    "args.threads": ["it is None"],
    "run_classifier.get_processor": [FUNCTION, "it('lcqmc').get_labels() == ['0', '1']"],
    "run_classifier.DataProcessor": [CLASS, "isinstance(run_classifier.get_processor('rte'), it)"],
    "run_classifier.InputExample": [CLASS, "it(guid='1', text_a='a', text_b='b').text_b == 'b'"],
    "run_classifier.PaddingInputExample": [CLASS, "it() is not None"],
    "run_classifier.InputFeatures": [
        CLASS,
        "it(input_ids=[1], input_mask=[1], segment_ids=[0], label_id=0).is_real_example is True",
    ],
    "run_classifier.convert_single_example": [
        FUNCTION,
        takes("ex_index", "example", "label_list", "max_seq_length", "tokenizer"),
    ],
    "run_classifier.file_based_convert_examples_to_features": [
        FUNCTION,
        takes("examples", "label_list", "max_seq_length", "tokenizer", "output_file"),
    ],
    "run_classifier.file_based_input_fn_builder": [
        FUNCTION,
        takes("input_file", "seq_length", "is_training", "drop_remainder"),
    ],
    "run_classifier.create_model": [
        FUNCTION,
        takes(
            "bert_config",
            "is_training",
            "input_ids",
            "input_mask",
            "segment_ids",
            "labels",
            "num_labels",
            "use_one_hot_embeddings",
        ),
    ],
    "run_classifier.model_fn_builder": [
        FUNCTION,
        takes(
            "bert_config",
            "num_labels",
            "init_checkpoint",
            "learning_rate",
            "num_train_steps",
            "num_warmup_steps",
            "use_tpu",
            "use_one_hot_embeddings",
        ),
    ],
    "run_classifier.convert_examples_to_features": [
        FUNCTION,
        takes("examples", "label_list", "max_seq_length", "tokenizer"),
    ],
    "run_classifier.input_fn_builder": [
        FUNCTION,
        takes("features", "seq_length", "is_training", "drop_remainder"),
    ],
    "run_classifier._truncate_seq_pair": [FUNCTION, takes("tokens_a", "tokens_b", "max_length")],
    "run_classifier.MnliProcessor": [
        CLASS,
        "it().get_labels() == ['contradiction', 'entailment', 'neutral']",
    ],
    "run_classifier.MrpcProcessor": [CLASS, "it().get_labels() == ['0', '1']"],
    "run_classifier.ColaProcessor": [CLASS, "it().get_labels() == ['0', '1']"],
    "run_classifier.XnliProcessor": [CLASS, "len(it().get_labels()) == 3"],
    "run_classifier.LCQMCPairClassificationProcessor": [CLASS, "it().get_labels() == ['0', '1']"],
    "run_classifier.SentencePairClassificationProcessor": [CLASS],
    "run_pretraining.get_masked_lm_output": [
        FUNCTION,
        takes("bert_config", "input_tensor", "output_weights"),
    ],
    "run_pretraining.get_next_sentence_output": [
        FUNCTION,
        takes("bert_config", "input_tensor", "labels"),
    ],
    "run_pretraining.get_sentence_order_output": [
        FUNCTION,
        takes("albert_config", "input_tensor", "labels"),
    ],
    "run_pretraining.gather_indexes": [FUNCTION, takes("sequence_tensor", "positions")],
    "extract_features.convert_examples_to_features": [
        FUNCTION,
        takes("examples", "seq_length", "tokenizer"),
    ],
    "extract_features.InputExample": [CLASS, takes("unique_id", "text_a", "text_b")],
    "create_pretraining_data.TrainingInstance": [
        CLASS,
        takes(
            "tokens",
            "segment_ids",
            "masked_lm_positions",
            "masked_lm_labels",
            "is_random_next",
        ),
    ],
    "create_pretraining_data.create_training_instances": [
        FUNCTION,
        takes(
            "input_files",
            "tokenizer",
            "max_seq_length",
            "dupe_factor",
            "short_seq_prob",
            "masked_lm_prob",
            "max_predictions_per_seq",
            "rng",
        ),
    ],
    "create_pretraining_data.create_instances_from_document": [
        FUNCTION,
        takes(
            "all_documents",
            "document_index",
            "max_seq_length",
            "short_seq_prob",
            "masked_lm_prob",
            "max_predictions_per_seq",
            "vocab_words",
            "rng",
        ),
    ],
    "create_pretraining_data.create_masked_lm_predictions": [
        FUNCTION,
        takes("tokens", "masked_lm_prob", "max_predictions_per_seq", "vocab_words", "rng"),
    ],
    "create_pretraining_data.truncate_seq_pair": [
        FUNCTION,
        takes("tokens_a", "tokens_b", "max_num_tokens", "rng"),
    ],
    "create_pretraining_data.write_instance_to_example_files": [
        FUNCTION,
        takes(
            "instances",
            "tokenizer",
            "max_seq_length",
            "max_predictions_per_seq",
            "output_files",
        ),
    ],
    "similarity.BertSim": [
        CLASS,
        "callable(it(model_dir='nowhere', threads=2).predict_sentences)",
        "{'start_model', 'similarity', 'rank', 'predict_proba', 'close'} <= set(dir(it))",
    ],
    "classification.BertClassifier": [CLASS, "callable(it(model_dir='nowhere').predict)"],
    "extract_features.BertVector": [CLASS, "callable(it(model_dir='nowhere').encode)"],
    "extract_features.most_similar": [FUNCTION, "it([[1, 0]], [[0, 1], [2, 0]], 1)[0] == [[1]]"],
}

# The user's own modules; the names are those of rooms.
USERS_MODULES = ("heads", "serving", "text", "training")

USERS_PROGRAM = """
import heads, serving, text, training
import importlib, inspect, json, os, sys

root, vocab_file, data_dir, checks = json.load(sys.stdin)
problems = {}
values = {"inspect": inspect, "os": os, "root": root, "vocab_file": vocab_file}
for name in sorted({name.split(".")[0] for name in checks}):
    values[name] = importlib.import_module(name)
import tensorflow.compat.v1 as tf


def value_of(build):
    with tf.Graph().as_default(), tf.Session() as session:
        tensor = build()
        session.run(tf.global_variables_initializer())
        return session.run(tensor)


values.update(tf=tf, value_of=value_of)
for name, expressions in checks.items():
    try:
        values["it"] = eval(name, values)
        failed = [expression for expression in expressions if not eval(expression, values)]
        problems[name] = "; ".join(failed)
    except Exception as error:
        problems[name] = "%s: %s" % (type(error).__name__, error)
processor = values["run_classifier"].get_processor(
    "animals", {"task_module": os.path.join(os.path.dirname(data_dir), "my_task.py")}
)
examples = processor.get_train_examples(data_dir)
task = [processor.get_labels(), [[e.guid, e.text_a, e.label] for e in examples]]
mine = [module.__file__ for module in (heads, serving, text, training)]
print(json.dumps({"problems": problems, "task": task, "mine": mine}))
"""


def python(arguments, cwd, given="", path=ROOT):
    environment = dict(os.environ, PYTHONPATH=path, TF_CPP_MIN_LOG_LEVEL="2")
    return subprocess.run(
        [sys.executable, "-W", "ignore"] + arguments,
        cwd=str(cwd),
        env=environment,
        input=given,
        capture_output=True,
        text=True,
    )


def task_of_the_documentation():
    """The file my_task.py that docs/fine_tuning.md shows."""
    with open(os.path.join(ROOT, "docs/fine_tuning.md"), encoding="utf-8") as handle:
        (content,) = re.findall(r"```python\n(# my_task\.py\n.*?)```", handle.read(), re.DOTALL)
    return content


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    """Folder of a user's program, with modules of its own, a task and its file."""
    folder = tmp_path_factory.mktemp("users")
    for name in USERS_MODULES:
        (folder / (name + ".py")).write_text("WHOSE = 'the user'\n")
    (folder / "program.py").write_text(USERS_PROGRAM)
    (folder / "my_task.py").write_text(task_of_the_documentation())
    (folder / "data").mkdir()
    (folder / "data" / "train.txt").write_text("it barks\tdog\nit purrs\tcat\n")
    return folder


@pytest.fixture(scope="module")
def found(users):
    """What the user's program says: problems by name, its task, and where its modules lie."""
    vocab_file = os.path.join(ROOT, "albert_config", "quickstart", "vocab.txt")
    given = json.dumps([ROOT, vocab_file, str(users / "data"), CHECKS])
    process = python(["program.py"], users, given)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_name_that_programs_import(found, name):
    assert found["problems"][name] == ""


def test_the_modules_of_the_user_stay_his(users, found):
    assert found["mine"] == [str(users / (name + ".py")) for name in USERS_MODULES]


def test_a_task_of_the_user(found):
    labels, examples = found["task"]
    assert labels == ["cat", "dog"]
    assert examples == [["train-1", "it barks", "dog"], ["train-2", "it purrs", "cat"]]


@pytest.mark.slow
def test_a_door_from_another_folder(users):
    process = python([os.path.join(ROOT, "run_classifier.py"), "--list_tasks"], users, path="")
    assert process.returncode == 0, process.stderr
    assert "lcqmc_pair\n  files    train train.txt; dev dev.txt; test test.txt" in process.stdout


@pytest.mark.slow
def test_a_task_of_the_user_at_the_door(users):
    """The door is `__main__` there, and the user's file imports it by name as well."""
    (users / "bad").mkdir()
    (users / "bad" / "train.txt").write_text("it barks\tdog\nit moos\tcow\n")
    quickstart = os.path.join(ROOT, "albert_config", "quickstart")
    process = python(
        [
            os.path.join(ROOT, "run_classifier.py"),
            "--task_name=animals",
            "--task_module=my_task.py",
            "--data_dir=bad",
            "--output_dir=out",
            "--do_train",
            "--bert_config_file=" + os.path.join(quickstart, "albert_config_quickstart.json"),
            "--vocab_file=" + os.path.join(quickstart, "vocab.txt"),
        ],
        users,
        path="",
    )
    expected = "bad/train.txt, line 2: label 'cow'; expected one of cat, dog.\n"
    assert process.returncode == 2
    assert process.stderr.endswith(expected), process.stderr
