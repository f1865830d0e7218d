"""The flags of create_pretraining_data.py."""

from albert.basics import cli
from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, choice, string
from albert.pretraining_data.instances import Source
from albert.pretraining_data.record_encoder import COMPRESSIONS
from albert.pretraining_data.settings import ALL_NAMES, RECIPE_FLAGS, make_settings
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


def source_from_flags(flag_values):
    """Returns a `Source`; raises InputError if a flag does not belong to the recipe."""
    names = ALL_NAMES
    settings = make_settings(
        flag_values.recipe, **{name: flag_values[name].value for name in names}
    )
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
