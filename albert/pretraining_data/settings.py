"""Settings of create_pretraining_data.py: what each recipe knows, its defaults, its limits."""

from typing import Any, Dict, NamedTuple, Optional, Tuple

from albert.basics import flag_table
from albert.basics.errors import InputError
from albert.basics.flag_table import Flag, boolean, choice, integer, number
from albert.text import word_segmentation

MLM_LABELS = ("reference", "plain")
_RECIPES = ("albert_zh", "google", "roberta")


class RecipeSettings(NamedTuple):
    """Everything but file names that decides what is written; made by `make_settings`.

    What the recipe does not know is None, or what makes no difference.
    """

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


class Setting(NamedTuple):
    """One row of the table of settings.

    Attributes:
        flag: its name, type, meaning and limits.
        defaults: recipe -> default, the reference script's; a recipe knows the settings that it
            has a default for.
        positive_in: recipes in which the value must be more than 0.
    """

    flag: Flag
    defaults: Dict[str, Any]
    positive_in: Tuple[str, ...] = ()

    def check(self, recipe, value):
        """Raises InputError if a value is out of range."""
        most = self.flag.maximum
        if recipe in self.positive_in and not 0 < value <= most:
            raise InputError(
                "--%s is %s; expected more than 0 and at most %g." % (self.flag.name, value, most)
            )
        flag_table.check(self.flag, value)

    def recipe_flag(self):
        """The flag as it is defined: None if not given, as recipes differ in their defaults.

        Without limits, because `make_settings` checks them for all who call it.
        """
        text = ", ".join("%s in %s" % (value, recipe) for recipe, value in self.defaults.items())
        if len(self.defaults) == len(_RECIPES) and len(set(self.defaults.values())) == 1:
            text = next(iter(self.defaults.values()))
        meaning = "%s Default: %s." % (self.flag.meaning, text)
        return self.flag._replace(meaning=meaning, minimum=None, maximum=None)


_TABLE = (
    Setting(
        boolean("do_lower_case", "Lower-case the text and strip accents.", None),
        dict(albert_zh=True, google=True, roberta=True),
    ),
    Setting(
        boolean("do_whole_word_mask", "Mask all tokens of a word together.", None),
        dict(albert_zh=False, google=True, roberta=False),
    ),
    Setting(
        boolean("non_chinese", "Do not look for Chinese words.", None),
        dict(albert_zh=False),
    ),
    Setting(
        choice(
            "mlm_labels",
            MLM_LABELS,
            "Label of a masked character that is not the first of its word: 'reference', with ##, "
            "as albert_zh's checkpoints were trained; 'plain', the character itself.",
        ),
        dict(albert_zh="reference", roberta="reference"),
    ),
    Setting(
        choice(
            "segmenter",
            word_segmentation.SEGMENTERS,
            "What finds Chinese words; 'auto' is rjieba where it is installed and gives jieba's "
            "words.",
        ),
        dict(albert_zh="auto", roberta="auto"),
    ),
    Setting(
        integer("max_seq_length", "Tokens per instance, at least 5.", minimum=5, maximum=65535),
        dict(albert_zh=128, google=512, roberta=128),
    ),
    Setting(
        integer("max_predictions_per_seq", "Most masked tokens per instance."),
        dict(albert_zh=20, google=20, roberta=20),
    ),
    Setting(
        number("short_seq_prob", "Share of the documents cut into shorter instances.", maximum=1.0),
        # roberta's reference has this flag and does not use it.
        dict(albert_zh=0.1, google=0.1, roberta=0.1),
    ),
    Setting(
        integer("dupe_factor", "Passes over the text, each masked differently."),
        dict(albert_zh=10, google=40, roberta=10),
    ),
    Setting(
        integer("random_seed", "Seed: equal seeds give equal data.", minimum=None),
        dict(albert_zh=12345, google=12345, roberta=12345),
    ),
    Setting(
        integer("ngram", "Mask up to this many words in a row together."),
        dict(albert_zh=1, google=3),
    ),
    Setting(
        boolean(
            "favor_shorter_ngram",
            "n words in a row with weight 1/n; otherwise with the weights in reverse order.",
            None,
        ),
        dict(albert_zh=True, google=True),
    ),
    Setting(
        integer(
            "ngram_seed",
            "Seed of the lengths of n-grams, as of numpy.random.seed; None is --random_seed.",
            minimum=0,
            maximum=2**32 - 1,
        ),
        # google's reference draws these lengths unseeded.
        dict(albert_zh=None, google=None),
    ),
    Setting(
        boolean("do_permutation", "Predict a permutation of words, too.", None),
        dict(google=False),
    ),
    Setting(
        boolean(
            "random_next_sentence",
            "The second segment is from another document, instead of swapped with the first.",
            None,
        ),
        dict(google=False),
    ),
    Setting(
        number("masked_lm_prob", "Share of the tokens that is masked.", maximum=1.0),
        dict(albert_zh=0.15, google=0.15, roberta=0.15),
        # Google's script can make data without masks; in albert_zh 0 masked one token all the same.
        positive_in=("albert_zh", "roberta"),
    ),
)

# Recipe -> what it knows: name of a setting -> default.
DEFAULTS = {
    recipe: {row.flag.name: row.defaults[recipe] for row in _TABLE if recipe in row.defaults}
    for recipe in _RECIPES
}
ALL_NAMES = sorted(row.flag.name for row in _TABLE)

RECIPE_FLAGS = (
    choice(
        "recipe",
        sorted(DEFAULTS),
        "How instances are made: sentence order and Chinese whole words (albert_zh), Google's "
        "n-grams (google), full sentences (roberta).",
        "albert_zh",
    ),
    *(row.recipe_flag() for row in _TABLE),
)


def make_settings(recipe="albert_zh", **given):
    """Fills in the recipe's defaults.

    Args:
        recipe: a key of `DEFAULTS`.
        given: settings by name; None is the same as leaving it out.

    Returns:
        `RecipeSettings`.

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
    for row in _TABLE:
        if row.flag.name in values:
            row.check(recipe, values[row.flag.name])
    return RecipeSettings(recipe=recipe, **values)
