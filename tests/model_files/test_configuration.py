"""Configs of models: the families, what is refused, and what follows from the keys."""

import json
import os

import pytest

import modeling
from albert.basics.errors import InputError
from albert.model_files.configuration import AlbertConfig, BertConfig, config_from_dict, load_config
from helpers.models import SHIPPED


def test_config_round_trip_and_family(repo_root):
    for size in SHIPPED:
        path = os.path.join(repo_root, "albert_config", "albert_config_%s.json" % size)
        config = load_config(path)
        with open(path) as handle:
            assert json.load(handle).items() <= config.to_dict().items()
        again = config_from_dict(json.loads(config.to_json_string()))
        assert again.to_dict() == config.to_dict()
        assert type(BertConfig.from_json_file(path)) is type(config)
        expected = "brightmart" if "google" not in size else "google"
        assert config.family == (expected + "_fast" if size.endswith("fast") else expected)
        assert config.vocab_size == 21128


TINY = {"vocab_size": 10, "ln_type": "postln"}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"ln_type": "postln"}, "vocab_size"),
        (dict(TINY, ln_type="postnl"), "ln_type.*postnl"),
        (dict(TINY, num_hidden_groups=1), "both"),
        (dict(TINY, hidden_size="768"), "hidden_size.*768"),
        (dict(TINY, hidden_size=770), "hidden_size.*num_attention_heads"),
        (dict(TINY, hidden_dropout_prob=1.5), "hidden_dropout_prob.*1.5"),
        (dict(TINY, hidden_act="gelv"), "hidden_act.*gelv"),
        (dict(TINY, share="some"), "share.*some"),
        (dict(TINY, num_hidden_layers=0), "num_hidden_layers"),
        (dict(TINY, vocab_size=None), "vocab_size"),
        ({"vocab_size": 10, "num_hidden_groups": 1, "ffn_groups": 3}, "ffn_groups"),
    ],
)
def test_wrong_configs_are_refused_by_name(tmp_path, settings, message):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match=message) as error:
        load_config(str(path))
    assert str(path) in str(error.value)


def test_missing_config_file(tmp_path):
    path = str(tmp_path / "none.json")
    with pytest.raises(InputError) as error:
        load_config(path)
    assert str(error.value) == path + ": no such file."


def test_unknown_config_key_warns(caplog):
    from absl import logging

    with caplog.at_level("WARNING", logger="absl"):
        logging.get_absl_logger().propagate = True
        config = config_from_dict(dict(TINY, hiden_size=5, pooler_type="first_token_transform"))
    assert "hiden_size" in caplog.text
    assert "pooler_type" not in caplog.text
    assert config.hidden_size == 768


def test_defaults_of_the_two_families():
    assert BertConfig(10).type_vocab_size == 16
    google = AlbertConfig(10)
    assert (google.type_vocab_size, google.hidden_size, google.num_attention_heads) == (2, 4096, 64)


FACTS = ("pre_ln", "projects_words", "embedding_width", "ffn_groups", "inner_group_num")


@pytest.mark.parametrize(
    "config, expected",
    [
        (BertConfig(10), (False, True, 768, 1, 1)),
        (BertConfig(10, ln_type=None), (False, True, 768, 1, 1)),
        (BertConfig(10, ln_type="preln", hidden_size=24), (True, True, 24, 1, 1)),
        (AlbertConfig(10), (False, False, 128, 1, 1)),
        (AlbertConfig(10, inner_group_num=2, ffn_groups=16), (False, False, 128, 16, 2)),
    ],
)
def test_what_follows_from_the_keys(config, expected):
    assert tuple(getattr(config, name) for name in FACTS) == expected
    in_file = {name for name in FACTS if name in json.loads(config.to_json_string())}
    assert in_file == {name for name in FACTS if name in config.DEFAULTS}


@pytest.mark.parametrize("family", [BertConfig, AlbertConfig])
def test_unknown_keys_that_are_called_like_properties_have_no_effect(family):
    unknown = dict(pre_ln=True, family="other", embedding_width=7)
    config = family(10, **unknown)
    plain = family(10)
    for name in ("pre_ln", "family", "embedding_width"):
        assert getattr(config, name) == getattr(plain, name)
    assert config.to_dict() == dict(plain.to_dict(), **unknown)


# Of albert_zh's own bert_config.json: no key tells the family.
PLAIN = {"vocab_size": 10, "hidden_size": 24, "pooler_type": "first_token_transform"}


def test_one_rule_for_a_config_without_a_familys_key(tmp_path, caplog):
    path = tmp_path / "bert_config.json"
    path.write_text(json.dumps(PLAIN))
    with caplog.at_level("WARNING", logger="absl"):
        configs = [load_config(str(path)), BertConfig.from_json_file(str(path))]
    assert caplog.text.count("it is taken as a brightmart config with ln_type postln") == 2
    configs += [config_from_dict(PLAIN), BertConfig.from_dict(PLAIN), BertConfig(**PLAIN)]
    for config in configs:
        assert config.to_dict() == configs[0].to_dict()
        assert (config.family, config.ln_type, config.embedding_size) == (
            "brightmart",
            "postln",
            128,
        )
    assert AlbertConfig.from_dict(PLAIN).family == "google"


def test_sizes_are_checked_where_a_model_is_built():
    for config in (
        BertConfig(10, hidden_size=37),
        BertConfig.from_dict(dict(TINY, hidden_size=37)),
    ):
        assert json.loads(config.to_json_string())["hidden_size"] == 37
        with pytest.raises(InputError, match="'hidden_size' is 37; .* multiple"):
            modeling.BertModel(config, False, None)
