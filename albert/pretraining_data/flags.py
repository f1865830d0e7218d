"""The flags of create_pretraining_data.py."""

from absl import logging

from albert.basics import cli
from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, choice, string
from albert.pretraining_data.instances import Source
from albert.pretraining_data.record_encoder import COMPRESSIONS
from albert.pretraining_data.settings import ALL_NAMES, DEFAULTS, RECIPE_FLAGS, make_settings
from albert.pretraining_data.streaming import STREAMING_FLAGS

TABLE = (
    string("input_file", "Text files: comma-separated names or globs.", required=True),
    string(
        "output_file", "TFRecord files, comma-separated; records go to them in turn.", required=True
    ),
    string("vocab_file", "Vocabulary, one token per line."),
    string("spm_model_file", "SentencePiece model, instead of --vocab_file (recipe google)."),
    cli.encoding_errors(default=None),  # not given: --input_file_mode decides
    # Google's flag; rb drops what is not UTF-8.
    choice("input_file_mode", ("r", "rb"), "rb is --encoding_errors=ignore."),
    boolean("separate_files", "The end of a file ends a document, too, not only a blank line."),
    choice("compression", COMPRESSIONS, "Of the output.", "none"),
    *RECIPE_FLAGS,
    *STREAMING_FLAGS,
)


# Not settings, but of this recipe, too: Google's script has them.
_GOOGLES = ("spm_model_file", "input_file_mode")


def source_from_flags(flag_values):
    """Returns a `Source`; raises InputError if a flag does not belong to the recipe."""
    values = {name: flag_values[name].value for name in ALL_NAMES}
    settings = make_settings(_recipe(flag_values, values), **values)
    errors = flag_values.encoding_errors
    if flag_values.input_file_mode:
        if settings.recipe != "google":
            raise InputError(
                "--input_file_mode belongs to --recipe=google, but --recipe is %s; pass "
                "--encoding_errors." % settings.recipe
            )
        if errors:
            raise InputError("--input_file_mode and --encoding_errors say the same; pass one.")
        errors = "ignore" if flag_values.input_file_mode == "rb" else "strict"
    return Source(
        settings,
        flag_values.vocab_file,
        flag_values.spm_model_file,
        errors or "strict",
        flag_values.separate_files,
    )


def _recipe(flag_values, values):
    """What --recipe says, or where it is not given, a flag that only one recipe knows.

    So the command of Google's script makes Google's data, as it stands.
    """
    if not flag_values["recipe"].using_default_value:
        return flag_values.recipe
    given = {name for name in _GOOGLES if flag_values[name].value}
    given.update(name for name, value in values.items() if value is not None)
    for recipe in sorted(set(DEFAULTS) - {flag_values.recipe}):
        others = set().union(*(DEFAULTS[other] for other in DEFAULTS if other != recipe))
        known = set(DEFAULTS[recipe]).union(_GOOGLES if recipe == "google" else ())
        telling = sorted(given & known - others)
        if telling:
            logging.warning(
                "--recipe is not given: it is %s, the only one that has --%s.", recipe, telling[0]
            )
            return recipe
    ngrams = sorted(given & {"ngram", "favor_shorter_ngram"})
    if ngrams:
        logging.warning(
            "--recipe is not given: it is %s, though google has --%s, too; pass --recipe=google "
            "for the data of Google's script.",
            flag_values.recipe,
            ngrams[0],
        )
    return flag_values.recipe
