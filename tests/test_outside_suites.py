"""What the outside suites check of such code, checked here: own words and own values.

`STANDS_FOR` says which of their tests each of ours stands for.
"""

import ast
import functools
import os

import numpy as np
import pytest

import modeling
import optimization
import tokenization
from albert.basics.tf_compat import tf
from albert.text.encoding import encode_pair
from helpers.paths import GOLDEN, ROOT

HERE = "tests/test_outside_suites.py"
BERT, ALBERT = "google-research/bert", "google-research/albert"
BERT_OF_HF, ALBERT_OF_HF = "transformers tests/bert", "transformers tests/albert"

# (suite, their test, the file of ours, our test)
STANDS_FOR = [
    (BERT, "tokenization_test.test_full_tokenizer", HERE, "test_words_to_pieces_to_ids"),
    (BERT, "tokenization_test.test_chinese", HERE, "test_ideographs_stand_alone"),
    (BERT, "tokenization_test.test_basic_tokenizer_lower", HERE, "test_lower_case_without_accents"),
    (BERT, "tokenization_test.test_basic_tokenizer_no_lower", HERE, "test_case_and_accents_kept"),
    (BERT, "tokenization_test.test_wordpiece_tokenizer", HERE, "test_longest_pieces_first"),
    (BERT, "tokenization_test.test_convert_tokens_to_ids", HERE, "test_tokens_by_vocabulary"),
    (BERT, "tokenization_test.test_is_whitespace", HERE, "test_white_space"),
    (BERT, "tokenization_test.test_is_control", HERE, "test_controls"),
    (BERT, "tokenization_test.test_is_punctuation", HERE, "test_punctuation"),
    (BERT, "modeling_test.test_default", HERE, "test_shapes_of_the_outputs"),
    (BERT, "modeling_test.test_default (reachable)", HERE, "test_every_variable_learns"),
    (BERT, "modeling_test.test_config_to_json_string", HERE, "test_config_as_json"),
    (BERT, "optimization_test.test_adam", HERE, "test_an_optimizer_finds_the_minimum"),
    (ALBERT, "tokenization_test (those of BERT)", HERE, "test_words_to_pieces_to_ids"),
    (ALBERT, "tokenization_test: encode_pieces", "tests/test_tokenization.py",
     "test_comma_after_a_digit"),
    (ALBERT, "tokenization_test: encode_ids", HERE, "test_sentencepiece_ids"),
    (ALBERT, "modeling_test.test_default", HERE, "test_shapes_of_the_outputs"),
    (ALBERT, "modeling_test.test_config_to_json_string", HERE, "test_config_as_json"),
    (ALBERT, "modeling_test: einsum_via_matmul", "tests/test_reference_layers.py",
     "test_albert_model_takes_use_einsum"),
    (ALBERT, "optimization_test.test_adam, lamb", HERE, "test_an_optimizer_finds_the_minimum"),
    (ALBERT, "classifier_utils_test.test_model_fn", "tests/test_reference_programs.py",
     "test_the_specs_of_a_classifier"),
    (BERT, "run_classifier_with_tfhub_test", "tests/test_reference_programs.py",
     "test_a_classifier_with_tpu_estimator"),
    (BERT_OF_HF, "test_full_tokenizer", HERE, "test_words_to_pieces_to_ids"),
    (BERT_OF_HF, "test_basic_tokenizer_lower_strip_accents_*", HERE,
     "test_lower_case_without_accents"),
    (BERT_OF_HF, "test_basic_tokenizer_splits_on_punctuation", HERE, "test_punctuation_splits"),
    (BERT_OF_HF, "test_clean_text", HERE, "test_invisible_text_is_no_token"),
    (BERT_OF_HF, "test_sequence_builders", HERE, "test_special_tokens_around_texts"),
    (BERT_OF_HF, "test_change_tokenize_chinese_chars", HERE, "test_ideographs_stand_alone"),
    (BERT_OF_HF, "test_maximum_encoding_length_*", HERE, "test_texts_are_cut"),
    (BERT_OF_HF, "test_pickle_tokenizer", "tests/test_tokenization.py",
     "test_tokenizers_can_be_sent_to_other_processes"),
    (BERT_OF_HF, "test_conversion_reversible", HERE, "test_vocabulary_there_and_back"),
    (ALBERT_OF_HF, "test_full_tokenizer", HERE, "test_sentencepiece_ids"),
    (ALBERT_OF_HF, "test_get_vocab", HERE, "test_vocabulary_there_and_back"),
    (ALBERT_OF_HF, "test_full_tokenizer (digits, comma)", "tests/test_tokenization.py",
     "test_only_a_false_start_mark_is_stripped"),
    (ALBERT_OF_HF, "test_tokenizer_integration", "tests/test_tokenization.py",
     "test_golden_sentencepiece"),
]  # fmt: skip


@functools.lru_cache(maxsize=None)
def names_of_tests(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
        tree = ast.parse(handle.read())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.once
def test_every_row_of_the_table_names_a_test():
    missing = [row for row in STANDS_FOR if row[3] not in names_of_tests(row[2])]
    assert not missing


PIECES = [
    "[UNK]", "[CLS]", "[SEP]", "[MASK]", "we", "walk", "##ed", "##ing", "home", "un", "##walk",
    ",", "!", "天", "气", "##气",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("pieces") / "vocab.txt"
    path.write_text("".join(piece + "\n" for piece in PIECES), encoding="utf-8")
    return tokenization.FullTokenizer(str(path), do_lower_case=True)


def test_words_to_pieces_to_ids(tokenizer):
    tokens = tokenizer.tokenize("Wé WALKED,unwalking  天气!")
    assert tokens == ["we", "walk", "##ed", ",", "un", "##walk", "##ing", "天", "气", "!"]
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert ids == [PIECES.index(token) for token in tokens]
    assert tokenizer.convert_ids_to_tokens(ids) == tokens


def test_ideographs_stand_alone():
    tokenizer = tokenization.BasicTokenizer()
    assert tokenizer.tokenize("ok天气A1好ok") == ["ok", "天", "气", "a1", "好", "ok"]
    ideographs = "一鿿㐀䶿豈𠀀𪜀𫝀𫠠丽"
    others = "aé!。、ァあ한ｶ１〇"
    for character in ideographs:
        assert tokenizer._is_chinese_char(ord(character)), character
    for character in others:
        assert not tokenizer._is_chinese_char(ord(character)), character
    assert tokenizer._tokenize_chinese_chars("a天b") == "a 天 b"


def test_lower_case_without_accents():
    tokenizer = tokenization.BasicTokenizer(do_lower_case=True)
    text = " \tÀ la CARTE!\nnaïve?  "
    assert tokenizer.tokenize(text) == ["a", "la", "carte", "!", "naive", "?"]
    assert tokenizer.tokenize("Ö") == ["o"]
    assert tokenizer._run_strip_accents("Çà") == "Ca"


def test_case_and_accents_kept():
    tokenizer = tokenization.BasicTokenizer(do_lower_case=False)
    text = " \tÀ la CARTE!\nnaïve?  "
    assert tokenizer.tokenize(text) == ["À", "la", "CARTE", "!", "naïve", "?"]


def test_longest_pieces_first():
    vocab = {piece: index for index, piece in enumerate(PIECES)}
    tokenizer = tokenization.WordpieceTokenizer(vocab=vocab)
    assert tokenizer.tokenize("") == []
    assert tokenizer.tokenize("unwalked walking") == ["un", "##walk", "##ed", "walk", "##ing"]
    assert tokenizer.tokenize("unwalkedX home") == ["[UNK]", "home"]


def test_tokens_by_vocabulary():
    vocab = {"[UNK]": 0, "we": 1, "##ed": 2}
    assert tokenization.convert_tokens_to_ids(vocab, ["##ed", "we", "we"]) == [2, 1, 1]
    assert tokenization.convert_by_vocab({0: "[UNK]", 1: "we"}, [1, 0]) == ["we", "[UNK]"]


def test_white_space():
    for character in " \t\r\n\u00a0\u3000\u2003":
        assert tokenization._is_whitespace(character), ascii(character)
    for character in "A-\u200b\u0000":
        assert not tokenization._is_whitespace(character), ascii(character)


def test_controls():
    for character in "\u0005\u0000\u007f\u200b\ufeff\u00ad":
        assert tokenization._is_control(character), ascii(character)
    for character in "A \t\r\n\U0001f4a9":
        assert not tokenization._is_control(character), ascii(character)


def test_punctuation():
    for character in "-$`.^+<=>|~。，「」—\u00bf":
        assert tokenization._is_punctuation(character), ascii(character)
    for character in "A 1天￥°":
        assert not tokenization._is_punctuation(character), ascii(character)


def test_punctuation_splits():
    tokenizer = tokenization.BasicTokenizer()
    text = "a--b'c。「天」$5"
    words = ["a", "-", "-", "b", "'", "c", "。", "「", "天", "」", "$", "5"]
    assert tokenizer.tokenize(text) == words
    assert tokenizer._run_split_on_punc("a--b。") == ["a", "-", "-", "b", "。"]
    assert tokenizer._run_split_on_punc("") == []


def test_invisible_text_is_no_token(tokenizer):
    for text in ("\u00ad", "\u200b", "\u0000", "\ufffd", "\ufeff", " \u3000\n"):
        assert tokenizer.tokenize(text) == []
        assert tokenizer.encode(text) == []
    assert tokenizer.tokenize("we\u200bwe home") == ["[UNK]", "home"]
    assert tokenizer.basic_tokenizer._clean_text("a\u0000\u3000b\u200b") == "a b"


def words_of(tokenizer, text_a, text_b, length):
    ids, segments = encode_pair(tokenizer, text_a, text_b, length)
    return " ".join(tokenizer.convert_ids_to_tokens(ids)), segments


def test_special_tokens_around_texts(tokenizer):
    assert words_of(tokenizer, "we walk", None, 9) == ("[CLS] we walk [SEP]", [0] * 4)
    assert words_of(tokenizer, "we walk", "home", 9) == (
        "[CLS] we walk [SEP] home [SEP]",
        [0, 0, 0, 0, 1, 1],
    )


def test_texts_are_cut(tokenizer):
    assert words_of(tokenizer, "we walk home", None, 4)[0] == "[CLS] we walk [SEP]"
    assert words_of(tokenizer, "we walk home", "天 气", 7)[0] == "[CLS] we walk [SEP] 天 气 [SEP]"
    assert words_of(tokenizer, "we walk", "天 气", 6)[0] == "[CLS] we walk [SEP] 天 [SEP]"


def test_vocabulary_there_and_back(tokenizer):
    assert len(tokenizer.vocab) == len(tokenizer.inv_vocab) == len(PIECES)
    for token, index in tokenizer.vocab.items():
        assert tokenizer.convert_ids_to_tokens(tokenizer.convert_tokens_to_ids([token])) == [token]
        assert tokenizer.inv_vocab[index] == token


def test_sentencepiece_ids():
    path = os.path.join(GOLDEN, "data", "spm500.model")
    tokenizer = tokenization.FullTokenizer.from_scratch(
        vocab_file=None, do_lower_case=True, spm_model_file=path
    )
    text = tokenization.preprocess_text(inputs="  The  RAIN stopped ", lower=True)
    tokens = tokenizer.tokenize(text)
    assert text == "the rain stopped"
    marker = tokenization.SPIECE_UNDERLINE.decode("utf-8")
    assert "".join(tokens).replace(marker, " ") == " " + text
    ids = tokenization.encode_ids(tokenizer.sp_model, text, sample=False)
    assert ids == tokenizer.convert_tokens_to_ids(tokens)
    assert tokenizer.convert_ids_to_tokens(ids) == tokens


CONFIGS = [
    modeling.BertConfig.from_dict(
        {
            "vocab_size": 50,
            "embedding_size": 6,
            "hidden_size": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "intermediate_size": 20,
            "type_vocab_size": 4,
            "max_position_embeddings": 30,
            "ln_type": "postln",
        }
    ),
    modeling.AlbertConfig(
        vocab_size=50,
        embedding_size=6,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        type_vocab_size=4,
        max_position_embeddings=30,
    ),
]
of_both_families = pytest.mark.parametrize("config", CONFIGS, ids=lambda it: type(it).__name__)


@of_both_families
@pytest.mark.parametrize("with_mask", [False, True])
def test_shapes_of_the_outputs(config, with_mask):
    """Of random input, with and without the arguments that may be left out."""
    random = np.random.RandomState(0)
    ids = random.randint(50, size=[5, 7]).astype(np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        more = {
            name: tf.constant(random.randint(2, size=[5, 7]), tf.int32)
            for name in (["input_mask", "token_type_ids"] if with_mask else [])
        }
        model = modeling.BertModel(
            config=config, is_training=False, input_ids=tf.constant(ids), **more
        )
        session.run(tf.global_variables_initializer())
        layers = session.run(model.get_all_encoder_layers())
        outputs = session.run(
            [
                model.get_sequence_output(),
                model.get_pooled_output(),
                model.get_embedding_output(),
                model.get_embedding_table(),
            ]
        )
    width = 12 if config.family == "brightmart" else 6
    assert [output.shape for output in outputs] == [(5, 7, 12), (5, 12), (5, 7, width), (50, 6)]
    assert [layer.shape for layer in layers] == [(5, 7, 12)] * 2
    np.testing.assert_array_equal(layers[-1], outputs[0])
    assert all(np.isfinite(output).all() for output in outputs)
    assert np.abs(outputs[1]).max() <= 1.0


@of_both_families
def test_every_variable_learns(config):
    """None stands unused in the graph."""
    with tf.Graph().as_default():
        model = modeling.BertModel(config, True, tf.zeros([2, 3], tf.int32))
        loss = tf.reduce_sum(model.get_sequence_output()) + tf.reduce_sum(model.pooled_output)
        variables = tf.trainable_variables()
        gradients = tf.gradients(loss, variables)
        assert [v.op.name for v, g in zip(variables, gradients) if g is None] == []


@of_both_families
def test_config_as_json(config):
    again = type(config).from_dict(config.to_dict())
    assert again.to_json_string() == config.to_json_string()
    assert '"hidden_size": 12' in config.to_json_string()
    assert config.to_dict()["vocab_size"] == 50


@pytest.mark.parametrize("optimizer", ["AdamWeightDecayOptimizer", "LAMBOptimizer"])
def test_an_optimizer_finds_the_minimum(optimizer):
    """Called with the step, which stays where it is."""
    target = np.float32([0.8, -0.3, 0.5])
    with tf.Graph().as_default(), tf.Session() as session:
        w = tf.get_variable("w", initializer=tf.constant([-0.2, 0.4, 0.1]))
        loss = tf.reduce_mean(tf.square(w - target))
        tvars = tf.trainable_variables()
        grads = tf.gradients(loss, tvars)
        global_step = tf.train.get_or_create_global_step()
        rate = tf.placeholder(tf.float32, [])
        applier = getattr(optimization, optimizer)(learning_rate=rate)
        train_op = applier.apply_gradients(zip(grads, tvars), global_step)
        session.run(tf.global_variables_initializer())
        for step in range(200):
            session.run(train_op, {rate: 0.2 * (1 - step / 200)})
        np.testing.assert_allclose(session.run(w), target, atol=1e-2)
        assert session.run(global_step) == 0
