"""Requests that no service should accept, as bytes; each must get a status of 400 to 499.

for kind, data in malformed_requests(settings.Settings(), random.Random(1)): ...
"""

import json

TEXTS = ("花呗怎么还款", "花呗如何还钱", "明天下雨吗", "hello")
JSON_TYPE = b"application/json"
# What may take the place of a text; nan stands for the constant that JSON does not have.
_NO_TEXTS = (
    None,
    True,
    0,
    -1.5,
    1e300,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    "",
    " \n",
    "\ud800",
)
_NO_OBJECTS = (None, False, 17, float("-inf"), "text", [], ["text_a", "text_b"], [[["x"]]])


def malformed_requests(settings, random):
    """Yields (kind, bytes) without end, the kinds by turns.

    Args:
        settings: limits of the service, `settings.ServiceSettings`.
        random: `random.Random`.
    """
    while True:
        for kind, make in _KINDS.items():
            yield kind, make(settings, random)


def http_request(body=b"", path=b"/similarity", method=b"POST", headers=None):
    """A request as bytes.

    Args:
        headers: dictionary of further headers; None as a value leaves a header out.
    """
    fields = {
        b"Host": b"localhost",
        b"Content-Type": JSON_TYPE,
        b"Content-Length": b"%d" % len(body),
    }
    fields.update(headers or {})
    lines = [b"%s: %s" % field for field in fields.items() if field[1] is not None]
    return b"\r\n".join([b"%s %s HTTP/1.1" % (method, path), *lines, b"", body])


def _path(random):
    return random.choice((b"/similarity", b"/classify", b"/embed"))


def _valid_object(random):
    """A path and a body that is right for it."""
    text_a, text_b = random.sample(TEXTS, 2)
    return random.choice(
        (
            (b"/similarity", {"text_a": text_a, "text_b": text_b}),
            (b"/similarity", {"pairs": [[text_a, text_b]] * random.randint(1, 3)}),
            (b"/classify", {"texts": [text_a, text_b]}),
            (b"/embed", {"text": text_a}),
        )
    )


def _encode(value):
    return json.dumps(value).encode("utf-8")


def _is_json(body):
    try:
        json.loads(body.decode("utf-8"))
    except ValueError:
        return False
    return True


def _broken_json(settings, random):
    """A right body with some bytes lost, added or changed, so that it is not JSON any more."""
    path, value = _valid_object(random)
    body = bytearray(_encode(value))
    while _is_json(body):
        place = random.randrange(len(body))
        change = random.randrange(4)
        if change == 0:
            del body[place : place + random.randint(1, 3)]
        elif change == 1:
            body[place] = random.randrange(256)
        elif change == 2:
            body.insert(place, random.randrange(256))
        else:
            del body[place + 1 :]
    return http_request(bytes(body), path)


def _noise(settings, random):
    size = random.choice((1, 10, 1000, 20000))
    return http_request(b"\xff" + bytes(random.getrandbits(8) for _ in range(size)), _path(random))


def _invalid_utf8(settings, random):
    path, value = _valid_object(random)
    body = json.dumps(value, ensure_ascii=False).encode("utf-8")
    place = body.index(b'": ') + 4
    bad = random.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe4\xb8", b"\xf5\x80\x80\x80"))
    return http_request(body[:place] + bad + body[place:], path)


def _wrong_type(settings, random):
    bad = random.choice(_NO_TEXTS)
    path, value = random.choice(
        (
            (b"/similarity", {"text_a": TEXTS[0], "text_b": bad}),
            (b"/similarity", {"pairs": [list(TEXTS[:2]), [TEXTS[0], bad]]}),
            (b"/similarity", {"pairs": bad or "x"}),
            (b"/similarity", {"pairs": [bad]}),
            (b"/similarity", {"pairs": [[TEXTS[0]]]}),
            (b"/similarity", {"pairs": [list(TEXTS[:3])]}),
            (b"/classify", {"text": bad}),
            (b"/embed", {"texts": [TEXTS[0], bad]}),
        )
    )
    return http_request(_encode(value), path)


def _no_object(settings, random):
    return http_request(_encode(random.choice(_NO_OBJECTS)), _path(random))


def _wrong_fields(settings, random):
    path, value = _valid_object(random)
    change = random.randrange(3)
    if change == 0:
        value = {}
    elif change == 1:
        value = dict(value, **{random.choice(("id", "label", "Text", "文本")): TEXTS[0]})
    else:
        value = {name + "_": entry for name, entry in value.items()}
    return http_request(_encode(value), path)


def _deeply_nested(settings, random):
    depth = random.choice((50, 2000, 100000))
    opened, closed = random.choice(((b"[", b"]"), (b'{"text":', b"}")))
    return http_request(opened * depth + b"1" + closed * depth, b"/embed")


def _numbers(settings, random):
    number = random.choice((b"NaN", b"-Infinity", b"9" * 50000, b"1e999999", b"0." + b"1" * 50000))
    return http_request(b'{"text_a": "x", "text_b": %s}' % number)


def _too_long(settings, random):
    text, many = "长" * (settings.max_text_length + 1), settings.max_texts + 1
    path, value = random.choice(
        (
            (b"/similarity", {"text_a": TEXTS[0], "text_b": text}),
            (b"/classify", {"texts": [text]}),
            (b"/embed", {"texts": [TEXTS[0]] * many}),
            (b"/similarity", {"pairs": [TEXTS[:2]] * many}),
        )
    )
    return http_request(_encode(value), path)


def _huge_body(settings, random):
    size = settings.max_body_bytes + random.choice((1, 100000, settings.max_body_bytes))
    return http_request(b" " * size, _path(random))


def _huge_chunked_body(settings, random):
    """Over the limit, and no header says so."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    body = chunk * (settings.max_body_bytes // 0x10000 + 1) + b"0\r\n\r\n"
    headers = {b"Content-Length": None, b"Transfer-Encoding": b"chunked"}
    return http_request(body, _path(random), headers=headers)


def _wrong_headers(settings, random):
    path, value = _valid_object(random)
    headers = random.choice(
        (
            {b"Content-Type": None},
            {b"Content-Type": b"application/x-www-form-urlencoded"},
            {b"Content-Type": b"text/plain; charset=utf-8"},
            {b"Content-Type": b"application/json; charset=gbk"},
            {b"Content-Type": b"multipart/form-data; boundary=x"},
            {b"Content-Type": b"\xff\xfe"},
            {b"Content-Encoding": b"gzip"},
        )
    )
    return http_request(_encode(value), path, headers=headers)


def _wrong_target(settings, random):
    path, value = _valid_object(random)
    method, path = random.choice(
        (
            (b"GET", path),
            (b"PUT", path),
            (b"DELETE", path),
            (b"OPTIONS", path),
            (b"POST", b"/"),
            (b"POST", b"/health"),
            (b"POST", path + b"/"),
            (b"POST", b"/%2e%2e/%2e%2e/etc/passwd"),
            (b"POST", b"/" + b"x" * 5000),
            (b"POST", b"/\xe4\xb8\xad"),
        )
    )
    return http_request(_encode(value), path, method)


def _broken_http(settings, random):
    body = _encode({"text": TEXTS[0]})
    return random.choice(
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"GET\r\n\r\n",
            b"POST /embed HTTP/1.1\r\n\r\n",
            b"POST /embed HTTP/x.y\r\nHost: x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            http_request(body, headers={b"Content-Length": b"-5"}),
            http_request(body, headers={b"Content-Length": b"many"}),
            http_request(body, headers={b"Content-Length": b"5, 6"}),
            http_request(body, headers={b"Bad Name": b"x"}),
            http_request(body, headers={b"X": b"a\x00b"}),
            http_request(body, headers={b"X": b"a" * 20000}),
            http_request(
                b"xyz\r\n", headers={b"Content-Length": None, b"Transfer-Encoding": b"chunked"}
            ),
            http_request(body, headers={b"Transfer-Encoding": b"gzip, chunked"}),
        )
    )


_KINDS = {
    "broken JSON": _broken_json,
    "noise": _noise,
    "invalid UTF-8": _invalid_utf8,
    "wrong type": _wrong_type,
    "no object": _no_object,
    "wrong fields": _wrong_fields,
    "deeply nested": _deeply_nested,
    "numbers": _numbers,
    "too long": _too_long,
    "huge body": _huge_body,
    "huge chunked body": _huge_chunked_body,
    "wrong headers": _wrong_headers,
    "wrong target": _wrong_target,
    "broken HTTP": _broken_http,
}
