"""What of the service needs packages that are extras; nothing else of it may be imported before."""

from albert.basics.errors import InputError


def import_server():
    """The module `server`; InputError where a package of requirements-serve.txt is missing."""
    try:
        from albert.serving import server
    except ImportError as error:
        raise InputError(
            "the package '%s' is not installed; run 'pip install -r requirements-serve.txt'."
            % error.name
        ) from None
    return server
