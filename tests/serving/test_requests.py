"""Bodies of requests, without a service."""

import codecs

import pytest

from albert.serving.requests import RequestError, parse_object


def test_a_byte_order_mark_is_no_text():
    assert parse_object(codecs.BOM_UTF8 + '{"text": "甲"}'.encode()) == {"text": "甲"}
    with pytest.raises(RequestError, match="The body is not valid JSON"):
        parse_object(b'{"text": ' + codecs.BOM_UTF8 + b'"a"}')
    with pytest.raises(RequestError, match=r"not UTF-8 \(byte 0xff at 0\)"):
        parse_object(codecs.BOM_UTF16_LE + '{"text": "甲"}'.encode("utf-16-le"))
