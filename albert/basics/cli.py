"""What every command-line script does around its own work: parse flags, set up, report errors."""

import logging
import os
import signal
import sys

from absl import app, flags
from absl import logging as absl_logging

from albert.basics import console, flag_table
from albert.basics.errors import InputError
from albert.basics.storage import ENCODING_ERRORS, check_name

FLAGS = flags.FLAGS

# Of a process that was told to stop, as shells have it.
_SIGNAL_STATUSES = tuple(128 + number for number in signal.Signals)


def _report_input_error(main, positional):
    """Wraps `main`: bad input, or a full disk, ends in one sentence on stderr and exit status 2."""

    def wrapped(argv):
        if len(argv) > 1 and not positional:
            _end("unexpected argument '%s'; flags are --name=value." % argv[1])
        try:
            for argument in sys.argv[1:]:
                check_name(argument, "the argument")
            return main(argv)
        except InputError as error:
            message = str(error)
        except SystemExit as end:
            if end.code in _SIGNAL_STATUSES:  # at once: TensorFlow takes seconds to tidy up
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code)
            raise
        except KeyboardInterrupt:  # Ctrl-C, where nothing has to be saved
            sys.stdout.flush()
            print("error: interrupted.", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        except BrokenPipeError:  # `head` has seen enough; nothing can be said at exit either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            if error.filename is None:  # none of the user's files
                raise
            message = "%s: %s." % (error.filename, error.strerror)
        _end(message)

    return wrapped


def _end(message):
    sys.stdout.flush()
    print("error: %s" % message, file=sys.stderr)
    sys.exit(2)


def _parse(argv):
    """Parses the flags; what is wrong with them ends like other bad input."""
    try:
        return FLAGS(argv)
    except flags.Error as error:
        reason = str(error).replace(" ?", "?")
        _end(reason + ("" if reason.endswith((".", "?")) else ".") + " --helpfull lists all flags.")


def encoding_errors(default="strict"):
    """The `Flag` --encoding_errors, the argument `errors` of `storage.read_lines`."""
    return flag_table.choice(
        "encoding_errors",
        ENCODING_ERRORS,
        "What to do with bytes that are not UTF-8: stop, put U+FFFD (which tokenizers drop), or "
        "drop them.",
        default,
    )


def run(main, define_flags, positional=False):
    """Runs a script: ``if __name__ == "__main__": cli.run(main, define_flags)``.

    Unknown flags are errors, with status 2 as all bad input (TensorFlow 1's app.run ignored them).

    Args:
        main: function of one argument (argv without flags), called with flags parsed.
        define_flags: function of a `flags.FlagValues`; called here, so that importing a script
            defines nothing.
        positional: whether `main` takes arguments that are no flags.
    """
    console.write_whatever_is_printed()
    define_flags(FLAGS)
    absl_logging.set_verbosity(absl_logging.INFO)
    # Its warnings are about deprecations that users of these scripts can do nothing about.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    app.run(_report_input_error(main, positional), flags_parser=_parse)
