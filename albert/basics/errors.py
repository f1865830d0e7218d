"""The one error for bad input, and how errors of others are told in a sentence."""


class InputError(ValueError):
    """Something the user passed is wrong; the message is one complete sentence for them."""


def reason(error):
    """What an `OSError` or an error of TensorFlow says, in one line."""
    text = getattr(error, "message", None) or getattr(error, "strerror", None) or error
    return str(text).split("\n")[0]


def shown(value, limit):
    """The beginning of something unexpected, for a message: `limit` characters and "..."."""
    text = str(value)
    return text if len(text) <= limit else text[:limit] + "..."
