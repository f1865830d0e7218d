"""The flags of create_pretraining_data.py."""

from absl import flags

from albert.basics import cli
from albert.basics.errors import InputError
from albert.pretraining_data import record_encoder
from albert.pretraining_data import settings as pretraining_settings
from albert.pretraining_data import streaming as pretraining_streaming
from albert.pretraining_data.instances import Source

flags.disclaim_key_flags()  # they are those of the script that asks for them

_INPUT_FILE_MODES = ("r", "rb")  # Google's flag; rb drops what is not UTF-8


def define_flags(flag_values):
    """Defines the flags of this script on a `flags.FlagValues`."""
    string, _, boolean = cli.flag_definers(flag_values)

    def choice(name, meaning, values, default):
        flags.DEFINE_enum(name, default, values, meaning, flag_values=flag_values)

    string("input_file", "Text files: comma-separated names or globs.")
    string("output_file", "TFRecord files, comma-separated; records go to them in turn.")
    string("vocab_file", "Vocabulary, one token per line.")
    string("spm_model_file", "SentencePiece model, instead of --vocab_file (recipe google).")
    flags.mark_flags_as_required(["input_file", "output_file"], flag_values=flag_values)
    cli.define_encoding_errors(flag_values, default=None)  # not given: --input_file_mode decides
    choice("input_file_mode", "rb is --encoding_errors=ignore.", _INPUT_FILE_MODES, None)
    boolean("separate_files", "The end of a file ends a document, too, not only a blank line.")
    choice("compression", "Of the output.", record_encoder.COMPRESSIONS, "none")
    pretraining_settings.define_recipe_flags(flag_values)
    pretraining_streaming.define_streaming_flags(flag_values)


def source_from_flags(flag_values):
    """Returns a `Source`; raises InputError if a flag does not belong to the recipe."""
    names = pretraining_settings.ALL_NAMES
    settings = pretraining_settings.make_settings(
        flag_values.recipe, **{name: getattr(flag_values, name) for name in names}
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
