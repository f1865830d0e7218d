"""Serves a model over HTTP: similarity, classes and vectors of texts.

    python serve.py --model_dir=albert_lcqmc_checkpoints

Then http://127.0.0.1:8000 is a page to try it, /docs tells what can be asked.  SIGTERM ends the
service when all requests that it took are answered.
"""

import contextlib

from absl import flags

from albert.basics import cli
from albert.basics.errors import InputError
from albert.inference.flags import define_model_flags, model_settings
from albert.serving import settings as serving_settings
from albert.serving.model import ServedModel


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    define_model_flags(flag_values)
    serving_settings.define_serving_flags(flag_values)
    string, _, boolean = cli.flag_definers(flag_values)
    string(
        "host", "Address to listen at; everybody who reaches it can use the service.", "127.0.0.1"
    )
    flags.DEFINE_integer(
        "port", 8000, "0: any free one; it is printed.", 0, 65535, flag_values=flag_values
    )
    boolean("embed", "Serve /embed, which loads the model a second time.", True)


def main(argv):
    del argv
    values = flags.FLAGS
    settings = serving_settings.settings_of(values)
    serving_server = _import_server()
    # Before the model is loaded, which takes longer.
    sock = serving_server.bind(values.host, values.port)
    with contextlib.closing(sock):
        model = ServedModel(values.embed, **model_settings(values))
        serving_server.serve(model, settings, sock)


def _import_server():
    """The module, whose packages are extras."""
    try:
        from albert.serving import server
    except ImportError as error:
        raise InputError(
            "the package '%s' is not installed; run 'pip install -r requirements-serve.txt'."
            % error.name
        ) from None
    return server


if __name__ == "__main__":
    cli.run(main, define_flags)
