"""Serves a model over HTTP: similarity, classes and vectors of texts.

    python serve.py --model_dir=albert_lcqmc_checkpoints

Then http://127.0.0.1:8000 is a page to try it, /docs tells what can be asked.  SIGTERM ends the
service when all requests that it took are answered.
"""

import contextlib

from absl import flags

from albert.basics import cli, flag_table
from albert.basics.flag_table import boolean, integer, string
from albert.inference.flags import define_model_flags, model_settings
from albert.serving import extras
from albert.serving.model import ServedModel
from albert.serving.settings import define_serving_flags, settings_of

FLAGS = (
    string(
        "host", "Address to listen at; everybody who reaches it can use the service.", "127.0.0.1"
    ),
    integer("port", "0: any free one; it is printed.", 8000, minimum=0, maximum=65535),
    boolean("embed", "Serve /embed, which loads the model a second time.", True),
)


class ServeSettings(flag_table.settings_base(FLAGS)):
    """Where the service is, and what it offers."""

    __slots__ = ()


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    define_model_flags(flag_values)
    define_serving_flags(flag_values)
    flag_table.define(flag_values, FLAGS)


def main(argv):
    del argv
    settings = flag_table.collect(flags.FLAGS, ServeSettings)
    limits = settings_of(flags.FLAGS)
    server = extras.import_server()
    # Before the model is loaded, which takes longer.
    sock = server.bind(settings.host, settings.port)
    with contextlib.closing(sock):
        model = ServedModel(settings.embed, **model_settings(flags.FLAGS).arguments())
        server.serve(model, limits, sock)


if __name__ == "__main__":
    cli.run(main, define_flags)
