"""Runs a script's main() in this process."""

from unittest import mock

from absl import flags


def run_main(script, *argv):
    """Parses the command line `argv` with the flags of a module and calls its main()."""
    values = flags.FlagValues()
    script.define_flags(values)
    positional = values(["script", *argv])
    with mock.patch.object(flags, "FLAGS", values):
        script.main(positional)
