"""Model configurations: which keys exist, their defaults and checks, and the family they mean.

Three families of checkpoints are published, each with its own variables:

  brightmart   `ln_type` in the JSON, or none of these keys; embeddings are projected before
               position and type are added
  google       `num_hidden_groups` in the JSON; projected after, with a bias
  google_fast  google with `ffn_groups` above 1: feed-forward kernels in that many groups
"""

import copy
import json

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError

BRIGHTMART = "brightmart"
GOOGLE = "google"
GOOGLE_FAST = "google_fast"

ACTIVATIONS = ("linear", "relu", "gelu", "tanh", "swish")
LN_TYPES = ("postln", "preln", None)
SHARE_MODES = ("all", "attention", "ffn", "none")

# Present in published files and used by no graph.
_IGNORED_KEYS = frozenset(
    "directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers "
    "pooler_size_per_head pooler_type down_scale_factor net_structure_type gap_size "
    "num_memory_blocks".split()
)


class BaseConfig:
    """Settings of one model; the keys of the JSON file are the attributes.

    The properties say what follows from them and are in no file. Besides those below, configs of
    every family have `ffn_groups` (number of groups of the feed-forward kernels) and
    `inner_group_num` (blocks of a layer), as a key or as a property.
    """

    DEFAULTS = {}

    def __init__(self, vocab_size, **settings):
        """Takes `vocab_size` and any of the family's keys by name; `check` looks at the values."""
        self.vocab_size = vocab_size
        for key, default in self.DEFAULTS.items():
            setattr(self, key, settings.pop(key, default))
        for key, value in settings.items():
            if key not in _IGNORED_KEYS:
                logging.warning("Model config: unknown key '%s' has no effect.", key)
            vars(self)[key] = value  # not setattr: a key may be called as a property is

    @property
    def family(self):
        """One of `BRIGHTMART`, `GOOGLE`, `GOOGLE_FAST`."""
        raise NotImplementedError

    @property
    def pre_ln(self):
        """Whether blocks normalize what goes into them, instead of what comes out."""
        return False

    @property
    def projects_words(self):
        """Whether words are projected to hidden_size, without bias, before positions are added.

        Where they are not, the sums are projected, with a bias; not at all if their size is
        hidden_size.
        """
        return False

    @property
    def embedding_width(self):
        """Size at which words, types and positions are added."""
        return self.hidden_size if self.projects_words else self.embedding_size

    def check(self):
        """Checks what a model needs: files that are read are checked, and models when built.

        Raises:
            InputError: a value is wrong; the message names its key.
        """
        for key in self._SIZES:
            self._require(key, _is_int(getattr(self, key)) and getattr(self, key) > 0, "above 0")
        for key in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, key)
            self._require(key, _is_number(value) and 0 <= value < 1, "from 0 to below 1")
        self._require(
            "initializer_range",
            _is_number(self.initializer_range) and self.initializer_range > 0,
            "above 0",
        )
        act = self.hidden_act
        known = not act or callable(act) or (isinstance(act, str) and act.lower() in ACTIVATIONS)
        self._require("hidden_act", known, "one of %s" % ", ".join(ACTIVATIONS))
        self._require(
            "hidden_size",
            self.hidden_size % self.num_attention_heads == 0,
            "a multiple of num_attention_heads (%d)" % self.num_attention_heads,
        )

    _SIZES = (
        "vocab_size embedding_size hidden_size num_hidden_layers num_attention_heads "
        "intermediate_size max_position_embeddings type_vocab_size"
    ).split()

    def _require(self, key, condition, expected):
        if not condition:
            raise InputError(
                "model config: '%s' is %r; expected a value %s."
                % (key, getattr(self, key), expected)
            )

    @classmethod
    def from_dict(cls, json_object):
        """Config of the family that the keys tell, of this class where they tell none."""
        return _class_of(json_object, cls)(**json_object)

    @classmethod
    def from_json_file(cls, json_file):
        """As `from_dict`, of a JSON file."""
        return _read_config(json_file, cls.from_dict)

    def to_dict(self):
        return copy.deepcopy(self.__dict__)

    def to_json_string(self):
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"


class BertConfig(BaseConfig):
    """Config of the brightmart family (`albert_*_zh` of brightmart/albert_zh).

    `ln_type`: "postln" (or None) or "preln". `share`: which parameters all layers share:
    "all", "attention", "ffn" or "none".
    """

    DEFAULTS = {
        "embedding_size": 128,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 512,
        "type_vocab_size": 16,
        "initializer_range": 0.02,
        "ln_type": "postln",
        "share": "all",
    }

    @property
    def family(self):
        return BRIGHTMART

    @property
    def pre_ln(self):
        return self.ln_type == "preln"

    @property
    def projects_words(self):
        return True

    @property
    def ffn_groups(self):
        return 1

    @property
    def inner_group_num(self):
        return 1

    def check(self):
        super().check()
        # Unknown strings meant preln in the reference: a typo trained another model.
        self._require("ln_type", self.ln_type in LN_TYPES, "postln, preln or null")
        self._require("share", self.share in SHARE_MODES, "one of %s" % ", ".join(SHARE_MODES))


class AlbertConfig(BaseConfig):
    """Config of the google families (google-research/albert and `*_google` of albert_zh)."""

    DEFAULTS = {
        "embedding_size": 128,
        "hidden_size": 4096,
        "num_hidden_layers": 12,
        "num_hidden_groups": 1,
        "num_attention_heads": 64,
        "intermediate_size": 16384,
        "inner_group_num": 1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0,
        "attention_probs_dropout_prob": 0,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "ffn_groups": 1,
    }

    @property
    def family(self):
        return GOOGLE if self.ffn_groups == 1 else GOOGLE_FAST

    def check(self):
        super().check()
        for key in ("num_hidden_groups", "inner_group_num", "ffn_groups"):
            self._require(key, _is_int(getattr(self, key)) and getattr(self, key) > 0, "above 0")
        for key in ("hidden_size", "intermediate_size"):
            self._require(
                key,
                getattr(self, key) % self.ffn_groups == 0,
                "a multiple of ffn_groups (%d)" % self.ffn_groups,
            )


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _class_of(json_object, default):
    """Class of a config: that of the family's key, else `default`.

    Raises:
        InputError: there are keys of both families, or `vocab_size` is missing.
    """
    brightmart = "ln_type" in json_object
    google = bool({"num_hidden_groups", "inner_group_num", "ffn_groups"} & set(json_object))
    if brightmart and google:
        raise InputError(
            "model config: found keys of both families; expected 'ln_type' (brightmart models: "
            "postln or preln) or 'num_hidden_groups' (google models)."
        )
    if "vocab_size" not in json_object:
        raise InputError("model config: 'vocab_size' is missing.")
    if brightmart or google:
        return BertConfig if brightmart else AlbertConfig
    return default


def config_from_dict(json_object):
    """Builds a `BertConfig` or an `AlbertConfig`, as the keys tell, and checks it.

    Without a key of either family it is a `BertConfig`, as albert_zh's own `bert_config.json`.

    Raises:
        InputError: there are keys of both families, `vocab_size` is missing, or a value is wrong.
    """
    config = BertConfig.from_dict(json_object)
    config.check()
    return config


def load_config(path):
    """Reads a config JSON file; its keys decide the family (module docstring).

    Raises:
        InputError: as `config_from_dict`; the message starts with the file's name.
    """
    return _read_config(path, config_from_dict)


def _read_config(path, build):
    json_object = storage.read_json(path)
    try:
        config = build(json_object)
    except InputError as error:
        raise InputError("%s: %s" % (path, error)) from None
    if config.family == BRIGHTMART and "ln_type" not in json_object:
        logging.warning(
            "%s: has neither 'ln_type' (brightmart models) nor 'num_hidden_groups' (google "
            "models); it is taken as a brightmart config with ln_type %s and embedding_size %s.",
            path,
            config.ln_type,
            config.embedding_size,
        )
    return config


def check_vocabulary(
    config, config_file, vocab_size, vocab_file, allow_mismatch=False, has_flag=True
):
    """Refuses a vocabulary that is larger than the model's; a smaller one is only told.

    The tables of words of many models are padded to a round size.

    Args:
        vocab_size: number of entries of `vocab_file`.
        allow_mismatch: only log.
        has_flag: whether the user can pass --allow_vocab_mismatch.

    Raises:
        InputError: the vocabulary has more entries.
    """
    if vocab_size == config.vocab_size:
        return
    message = "%s has %d entries, but %s says vocab_size %d" % (
        vocab_file,
        vocab_size,
        config_file,
        config.vocab_size,
    )
    if vocab_size < config.vocab_size:
        logging.warning("%s; the rows above are never used.", message)
        return
    if allow_mismatch:
        logging.warning("%s; the entries above it are left out.", message)
        return
    raise InputError(
        "%s; use the vocab.txt that came with the checkpoint%s."
        % (message, " (--allow_vocab_mismatch if you know better)" if has_flag else "")
    )
