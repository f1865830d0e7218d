"""What clients send: JSON bodies to texts, and the errors that they get."""

import json

from albert.basics import storage
from albert.basics.errors import shown
from albert.inference.text_model import missing_content

# Sets of fields that a body may have, and which of them each path takes.
TEXT = ("text",)
PAIR = ("text_a", "text_b")
TEXTS = ("texts",)
PAIRS = ("pairs",)
FORMS = {
    "/similarity": (PAIR, PAIRS),
    "/classify": (TEXT, PAIR, TEXTS, PAIRS),
    "/embed": (TEXT, TEXTS),
}
_SHOWN_CHARACTERS = 40


class RequestError(Exception):
    """A request cannot be answered; the message is one sentence for the client.

    Attributes:
        status: HTTP status.
        headers: dictionary of further headers of the response.
    """

    def __init__(self, status, message, headers=None):
        super().__init__(message)
        self.status, self.headers = status, headers


class _Number:
    """Stands for any number of a body: none is expected, so none need be computed."""

    def __init__(self, _):
        pass


_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a truth value",
    _Number: "a number",
    type(None): "null",
}


def check_headers(headers):
    """Raises RequestError unless the body is said to be plain JSON.

    Requiring the type also keeps other sites' forms, which cannot set it, from using a browser.

    Args:
        headers: mapping, with lower-case names.
    """
    content_type = headers.get("content-type", "")
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise RequestError(
            415,
            "The Content-Type is %s; expected application/json."
            % (_show(content_type) or "missing"),
        )
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise RequestError(415, "The Content-Encoding is %s; expected none." % _show(encoding))


def parse_object(body):
    """The JSON object of a body (bytes) as a dictionary; numbers have no value.

    Raises:
        RequestError: it is none.
    """
    try:
        value = json.loads(
            storage.without_mark(body).decode("utf-8"),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise RequestError(
            400, "The body is not UTF-8 (byte 0x%02x at %d)." % (body[error.start], error.start)
        ) from None
    except RecursionError:
        raise RequestError(400, "The body is not valid JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise RequestError(400, "The body is not valid JSON: %s." % error) from None
    if not isinstance(value, dict):
        raise RequestError(400, "The body is %s; expected an object." % _NAMES[type(value)])
    return value


def _constant(name):
    raise ValueError("it has the constant %s" % name)


def items_of(value, forms, settings):
    """Texts of a body.

    Args:
        value: as of `parse_object`.
        forms: sets of fields to choose from, of `FORMS`.
        settings: limits, `settings.ServiceSettings`.

    Returns:
        List of (text_a, text_b), where text_b is "" for a single text; and whether the body has one
        of the forms for many.

    Raises:
        RequestError: another set of fields, no texts, or too many or too long ones.
    """
    form = next((form for form in forms if set(form) == set(value)), None)
    if form is None:
        raise RequestError(400, "%s; expected %s." % (_found(value), expected_fields(forms)))
    if form == TEXT:
        return [(_text(value["text"], "text", settings), "")], False
    if form == PAIR:
        return [tuple(_text(value[name], name, settings) for name in PAIR)], False
    (name,) = form
    entries = value[name]
    if not isinstance(entries, list):
        raise RequestError(400, '"%s" is %s; expected a list.' % (name, _NAMES[type(entries)]))
    if len(entries) > settings.max_texts:
        raise RequestError(
            413,
            '"%s" has %d entries; at most %d are taken.' % (name, len(entries), settings.max_texts),
        )
    read = _pair if form == PAIRS else _single
    return [read(entry, "%s[%d]" % (name, i), settings) for i, entry in enumerate(entries)], True


def _single(entry, name, settings):
    return _text(entry, name, settings), ""


def _pair(entry, name, settings):
    if not isinstance(entry, list):
        found = _NAMES[type(entry)]
    elif len(entry) != 2:
        found = "a list of %d" % len(entry)
    else:
        return tuple(_text(text, "%s[%d]" % (name, i), settings) for i, text in enumerate(entry))
    raise RequestError(400, '"%s" is %s; expected a list of two strings.' % (name, found))


def _text(value, name, settings):
    if not isinstance(value, str):
        raise RequestError(400, '"%s" is %s; expected a string.' % (name, _NAMES[type(value)]))
    if not value or value.isspace():
        raise RequestError(400, '"%s" is empty; expected a text.' % name)
    found = missing_content(value)
    if found:
        raise RequestError(400, '"%s" is %s; expected a text.' % (name, found))
    if len(value) > settings.max_text_length:
        raise RequestError(
            413,
            '"%s" has %d characters; at most %d are taken.'
            % (name, len(value), settings.max_text_length),
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise RequestError(400, '"%s" has half of a surrogate pair.' % name) from None
    return value


def expected_fields(forms):
    """The fields of `forms` in words."""
    return ", or ".join(" and ".join('"%s"' % name for name in form) for form in forms)


def _found(value):
    if not value:
        return "The object is empty"
    return "The object has the fields %s" % _show(", ".join('"%s"' % name for name in value))


def _show(text):
    """The beginning of something that a client sent; harmless in a response and in a log."""
    return shown(text.encode("ascii", "backslashreplace").decode("ascii"), _SHOWN_CHARACTERS)
