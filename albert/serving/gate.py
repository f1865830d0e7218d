"""What every request passes first: limits of size, time and number, and the end of the service."""

import asyncio
import time

from absl import logging
from starlette.responses import JSONResponse

from albert.serving.requests import RequestError

# Of a body that is too large this much is read and dropped, so that the client, which writes before
# it reads, gets to see the answer.
_DROPPED_BYTES = 64 << 20
_DROPPING_SECONDS = 2

# They answer whatever the state, for those who watch the service.
ALWAYS_OPEN = ("/health", "/metrics")


class _ClientGone(Exception):
    """The connection ended before the request did."""


class _Response:
    """Sends a response; notes its status, and tells the client where the connection must end."""

    def __init__(self, send, must_close):
        self._send, self._must_close = send, must_close
        self.status = None

    async def __call__(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._must_close():
                headers = list(message.get("headers", [])) + [(b"connection", b"close")]
                message = dict(message, headers=headers)
        await self._send(message)


class Gate:
    """ASGI application around another one, which gets only complete, acceptable requests.

    Attributes:
        active: number of requests that were taken and not answered yet.
        draining: set it to refuse all further requests.
    """

    def __init__(self, app, paths, settings, metrics):
        """Takes the application, its paths (for counting), `ServiceSettings` and `Metrics`."""
        self._app, self._paths = app, frozenset(paths)
        self._settings, self._metrics = settings, metrics
        self.active = 0
        self.draining = False

    async def __call__(self, scope, receive, send):
        start = time.perf_counter()
        unread = False
        response = _Response(send, lambda: unread or self.draining)
        self.active += 1
        try:
            try:
                self._check_open(scope["path"])
                body = await self._read_body(scope, receive)
            except RequestError as error:
                unread = True
                await _refuse(error, scope, receive, response)
            else:
                await self._app(scope, _replay(body), response)
        except _ClientGone:
            pass
        finally:
            self.active -= 1
            path = scope["path"] if scope["path"] in self._paths else "other"
            status = response.status or "client_gone"
            self._metrics.count_request(path, status, time.perf_counter() - start)

    def _check_open(self, path):
        if path in ALWAYS_OPEN:
            return
        if self.draining:
            raise RequestError(503, "The service is shutting down.", {"Retry-After": "5"})
        if self.active > self._settings.max_requests:
            raise RequestError(
                429,
                "%d requests are being worked on; retry later." % (self.active - 1),
                {"Retry-After": "1"},
            )

    async def _read_body(self, scope, receive):
        settings = self._settings
        too_large = RequestError(
            413, "The body is too large; at most %d bytes are taken." % settings.max_body_bytes
        )
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > settings.max_body_bytes:
                raise too_large
        try:
            body = await asyncio.wait_for(
                _receive_all(receive, settings.max_body_bytes), settings.read_timeout
            )
        except asyncio.TimeoutError:
            raise RequestError(
                408, "The request did not arrive within %d s." % settings.read_timeout
            ) from None
        if body is None:
            raise too_large
        return body


async def _receive_all(receive, max_bytes):
    """The body, or None as soon as it is larger than `max_bytes`."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone()
        body += message.get("body", b"")
        if len(body) > max_bytes:
            return None
        more = message.get("more_body", False)
    return bytes(body)


def _replay(body):
    """An ASGI `receive` that gives the body once."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def error_response(error):
    """The response for a `RequestError`."""
    return JSONResponse({"error": str(error)}, error.status, error.headers)


async def _refuse(error, scope, receive, send):
    """Answers before the body was read to its end, then drops what still comes of it."""
    answer = error_response(error)
    start = {"type": "http.response.start", "status": answer.status_code}
    await send(dict(start, headers=answer.raw_headers))
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    try:
        await asyncio.wait_for(_receive_all_dropping(receive), _DROPPING_SECONDS)
    except (asyncio.TimeoutError, _ClientGone):
        logging.debug("%s: the rest of a refused request did not come.", scope["path"])
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _receive_all_dropping(receive):
    dropped = 0
    more = True
    while more and dropped < _DROPPED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone()
        dropped += len(message.get("body", b""))
        more = message.get("more_body", False)
