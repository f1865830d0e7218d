"""Settings of create_pretraining_data.py: what each recipe knows, its defaults, its limits."""

from typing import NamedTuple, Optional

from absl import flags

from albert.basics.errors import InputError
from albert.text import word_segmentation

flags.disclaim_key_flags()  # they are those of the script that asks for them

MLM_LABELS = ("reference", "plain")

# Everything but file names that decides what is written.  A recipe knows the settings that it
# has a default for; the defaults are the reference scripts'.
DEFAULTS = {
    "albert_zh": {
        "do_lower_case": True,
        "do_whole_word_mask": False,
        "non_chinese": False,
        "mlm_labels": "reference",
        "segmenter": "auto",
        "max_seq_length": 128,
        "max_predictions_per_seq": 20,
        "masked_lm_prob": 0.15,
        "ngram": 1,
        "favor_shorter_ngram": True,
        "ngram_seed": None,
        "short_seq_prob": 0.1,
        "dupe_factor": 10,
        "random_seed": 12345,
    },
    "google": {
        "do_lower_case": True,
        "do_whole_word_mask": True,
        "max_seq_length": 512,
        "max_predictions_per_seq": 20,
        "masked_lm_prob": 0.15,
        "ngram": 3,
        "favor_shorter_ngram": True,
        "ngram_seed": None,  # the reference draws these lengths unseeded
        "do_permutation": False,
        "random_next_sentence": False,
        "short_seq_prob": 0.1,
        "dupe_factor": 40,
        "random_seed": 12345,
    },
    "roberta": {
        "do_lower_case": True,
        "do_whole_word_mask": False,
        "mlm_labels": "reference",
        "segmenter": "auto",
        "max_seq_length": 128,
        "max_predictions_per_seq": 20,
        "masked_lm_prob": 0.15,
        "short_seq_prob": 0.1,  # the reference has this flag and does not use it
        "dupe_factor": 10,
        "random_seed": 12345,
    },
}

ALL_NAMES = sorted(set().union(*DEFAULTS.values()))


class Settings(NamedTuple):
    """See `DEFAULTS`; what the recipe does not know is None, or what makes no difference."""

    recipe: str
    do_lower_case: bool
    do_whole_word_mask: bool
    max_seq_length: int
    max_predictions_per_seq: int
    masked_lm_prob: float
    short_seq_prob: float
    dupe_factor: int
    random_seed: int
    non_chinese: bool = False
    mlm_labels: str = "plain"
    segmenter: Optional[str] = None
    ngram: int = 1
    favor_shorter_ngram: bool = True
    ngram_seed: Optional[int] = None
    do_permutation: bool = False
    random_next_sentence: bool = False

    @property
    def max_predictions(self):
        """Length of a record's predictions; a permutation is predicted, too."""
        return self.max_predictions_per_seq * (2 if self.do_permutation else 1)

    def as_dict(self):
        """What the recipe knows, by name; `make_settings` takes it back."""
        return {name: getattr(self, name) for name in ["recipe", *DEFAULTS[self.recipe]]}


_RULES = {
    "mlm_labels": (lambda value: value in MLM_LABELS, "one of " + ", ".join(MLM_LABELS)),
    "segmenter": (
        lambda value: value in word_segmentation.SEGMENTERS,
        "one of " + ", ".join(word_segmentation.SEGMENTERS),
    ),
    "max_seq_length": (lambda value: 5 <= value < 1 << 16, "from 5 to 65535"),
    "max_predictions_per_seq": (lambda value: value >= 1, "at least 1"),
    "short_seq_prob": (lambda value: 0 <= value <= 1, "from 0 to 1"),
    "dupe_factor": (lambda value: value >= 1, "at least 1"),
    "ngram": (lambda value: value >= 1, "at least 1"),
    "ngram_seed": (lambda value: value is None or 0 <= value < 1 << 32, "from 0 to 2**32 - 1"),
}
_POSITIVE_SHARE = (lambda value: 0 < value <= 1, "more than 0 and at most 1")
_SHARE = (lambda value: 0 <= value <= 1, "from 0 to 1")


def make_settings(recipe="albert_zh", **given):
    """Fills in the recipe's defaults.

    Args:
        recipe: a key of `DEFAULTS`.
        given: settings by name; None is the same as leaving it out.

    Returns:
        `Settings`.

    Raises:
        InputError: the recipe does not know a setting, or a value is out of range.
    """
    if recipe not in DEFAULTS:
        raise InputError(
            "--recipe is %s; expected one of %s." % (recipe, ", ".join(sorted(DEFAULTS)))
        )
    values = dict(DEFAULTS[recipe])
    for name, value in given.items():
        if value is None:
            continue
        if name not in values:
            owners = [other for other in sorted(DEFAULTS) if name in DEFAULTS[other]]
            raise InputError(
                "--%s does not belong to --recipe=%s; it is a flag of %s."
                % (name, recipe, " and ".join(owners))
            )
        values[name] = value
    # Google's script can make data without masks; in albert_zh 0 masked one token all the same.
    share = _SHARE if recipe == "google" else _POSITIVE_SHARE
    for name, (is_valid, expected) in dict(_RULES, masked_lm_prob=share).items():
        if name in values and not is_valid(values[name]):
            raise InputError("--%s is %s; expected %s." % (name, values[name], expected))
    return Settings(recipe=recipe, **values)


def define_recipe_flags(flag_values):
    """Defines a flag for each setting, None if not given, so that recipes can have defaults."""

    def define(function, name, meaning, *choices):
        defaults = {recipe: values[name] for recipe, values in DEFAULTS.items() if name in values}
        text = ", ".join("%s in %s" % (value, recipe) for recipe, value in defaults.items())
        if len(defaults) == len(DEFAULTS) and len(set(defaults.values())) == 1:
            text = defaults["albert_zh"]
        meaning = "%s Default: %s." % (meaning, text)
        function(name, None, *choices, meaning, flag_values=flag_values)

    flags.DEFINE_enum(
        "recipe",
        "albert_zh",
        sorted(DEFAULTS),
        "How instances are made: sentence order and Chinese whole words (albert_zh), Google's "
        "n-grams (google), full sentences (roberta).",
        flag_values=flag_values,
    )
    define(flags.DEFINE_bool, "do_lower_case", "Lower-case the text and strip accents.")
    define(flags.DEFINE_bool, "do_whole_word_mask", "Mask all tokens of a word together.")
    define(flags.DEFINE_bool, "non_chinese", "Do not look for Chinese words.")
    define(
        flags.DEFINE_enum,
        "mlm_labels",
        "Label of a masked character that is not the first of its word: 'reference', with ##, as "
        "albert_zh's checkpoints were trained; 'plain', the character itself.",
        MLM_LABELS,
    )
    define(
        flags.DEFINE_enum,
        "segmenter",
        "What finds Chinese words; 'auto' is rjieba where it is installed and gives jieba's words.",
        word_segmentation.SEGMENTERS,
    )
    define(flags.DEFINE_integer, "max_seq_length", "Tokens per instance, at least 5.")
    define(flags.DEFINE_integer, "max_predictions_per_seq", "Most masked tokens per instance.")
    define(flags.DEFINE_float, "masked_lm_prob", "Share of the tokens that is masked.")
    define(flags.DEFINE_integer, "ngram", "Mask up to this many words in a row together.")
    define(
        flags.DEFINE_bool,
        "favor_shorter_ngram",
        "n words in a row with weight 1/n; otherwise with the weights in reverse order.",
    )
    define(
        flags.DEFINE_integer,
        "ngram_seed",
        "Seed of the lengths of n-grams, as of numpy.random.seed; None is --random_seed.",
    )
    define(flags.DEFINE_bool, "do_permutation", "Predict a permutation of words, too.")
    define(
        flags.DEFINE_bool,
        "random_next_sentence",
        "The second segment is from another document, instead of swapped with the first.",
    )
    define(
        flags.DEFINE_float, "short_seq_prob", "Share of the documents cut into shorter instances."
    )
    define(flags.DEFINE_integer, "dupe_factor", "Passes over the text, each masked differently.")
    define(flags.DEFINE_integer, "random_seed", "Seed: equal seeds give equal data.")
