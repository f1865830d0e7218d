"""Modules at the top level whose names other programs use for modules of their own."""

from albert.basics.errors import InputError


def check_module(module, *names):
    """Raises InputError if a module that was imported by name is another program's.

    Args:
        names: what the right one has.
    """
    missing = [name for name in names if not hasattr(module, name)]
    if missing:
        raise InputError(
            "%s: found in place of this project's %s.py, and has no %s; rename it, or put this "
            "project's folder before its folder in sys.path."
            % (getattr(module, "__file__", None) or module, module.__name__, ", ".join(missing))
        )
