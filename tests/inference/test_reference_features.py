"""Functions of BERT's extract_features.py as a program calls them."""

import extract_features
import tokenization
from helpers.tasks import VOCABULARY, write_lines


def test_examples_as_features(tmp_path):
    vocab_file = write_lines(tmp_path / "vocab.txt", VOCABULARY)
    texts = write_lines(
        tmp_path / "texts.txt", ["今天天气", " 今天 ||| 天气好 ", "", "今天天气怎么样"]
    )
    tokenizer = tokenization.FullTokenizer(vocab_file=vocab_file, do_lower_case=True)
    examples = extract_features.read_examples(texts)
    assert [tuple(example) for example in examples] == [
        (0, "今天天气", None),
        (1, "今天", "天气好"),
        (2, "", None),
        (3, "今天天气怎么样", None),
    ]
    features = extract_features.convert_examples_to_features(
        examples=examples, seq_length=8, tokenizer=tokenizer
    )
    assert [row.unique_id for row in features] == [0, 1, 2, 3]
    assert [" ".join(row.tokens) for row in features] == [
        "[CLS] 今 天 天 气 [SEP]",
        "[CLS] 今 天 [SEP] 天 气 [UNK] [SEP]",
        "[CLS] [SEP]",
        "[CLS] 今 天 天 气 怎 么 [SEP]",
    ]
    for row in features:
        length = len(row.tokens)
        assert row.input_ids[:length] == [VOCABULARY.index(token) for token in row.tokens]
        assert row.input_mask == [1] * length + [0] * (8 - length)
        assert not any(row.input_ids[length:])
        assert len(row.input_ids) == len(row.input_type_ids) == 8
    assert features[1].input_type_ids == [0, 0, 0, 0, 1, 1, 1, 1]
    assert not any(features[3].input_type_ids)


def test_a_long_pair_loses_tokens_of_its_longer_text(tmp_path):
    tokenizer = tokenization.FullTokenizer(write_lines(tmp_path / "vocab.txt", VOCABULARY))
    example = extract_features.InputExample(unique_id="x", text_a="今天天气怎么样", text_b="天气")
    (row,) = extract_features.convert_examples_to_features([example], 9, tokenizer)
    assert " ".join(row.tokens) == "[CLS] 今 天 天 气 [SEP] 天 气 [SEP]"
