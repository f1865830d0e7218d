"""The HTTP server around the service: sockets, stale connections, and an end without losses."""

import asyncio
import contextlib
import signal
import socket
import threading
import time

import uvicorn
from absl import logging

from albert.basics.errors import InputError, reason
from albert.serving import app

# After the signal to end, requests on their way still get an answer (503) for this long.
_REFUSING_SECONDS = 0.5
_BACKLOG = 2048


def bind(host, port):
    """A TCP socket that is bound but does not listen yet: connecting to it is refused.

    Raises:
        InputError: no such host, or the port is not free.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise InputError("--host: '%s' is no address here (%s)." % (host, reason(error))) from None
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise InputError(
            "--port: cannot use port %d of '%s' (%s)." % (port, host, error.strerror)
        ) from None
    return sock


def url_of(sock):
    """The address of a bound socket."""
    host, port = sock.getsockname()[:2]
    return "http://%s:%d" % ("[%s]" % host if ":" in host else host, port)


def serve(model, settings, sock):
    """Serves until SIGTERM or SIGINT.

    Args:
        model: `model.ServedModel`; is closed in the end.
        settings: `settings.ServiceSettings`.
        sock: from `bind`.
    """
    service = app.Service(model, settings)

    def announce():
        print("Serving '%s' at %s (/docs tells more)." % (model.name, url_of(sock)), flush=True)

    with contextlib.closing(model), contextlib.closing(service):
        Server(service.app, settings, announce).run_on(sock)
    print("All requests that were taken are answered.", flush=True)


class Server(uvicorn.Server):
    """Runs an application until `stop`; then every request that was taken is answered.

    From `stop` on further requests get 503, and connections are closed with their answers; when
    nothing is being worked on any more, the server ends.
    """

    def __init__(self, gate, settings, on_start=lambda: None):
        """Takes a `gate.Gate`, `ServiceSettings` and what to call when requests are taken."""
        super().__init__(
            uvicorn.Config(
                gate,
                loop="asyncio",
                # Unlike httptools it bounds the size of the headers.
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=settings.keep_alive,
                timeout_graceful_shutdown=settings.shutdown_timeout,
            )
        )
        self._gate, self._settings, self._on_start = gate, settings, on_start
        self._stopped_at = None
        self._seen = {}

    def run_on(self, sock):
        """Serves on a bound socket until `stop`; SIGTERM and SIGINT do that where possible."""
        with _handling_signals(self.stop):
            asyncio.run(self.serve(sockets=[sock]))

    def stop(self):
        """Begins to end; called a second time, ends at once.  May be called from any thread."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self._gate.draining = True
        else:
            self.should_exit = self.force_exit = True

    # What uvicorn calls

    def install_signal_handlers(self):
        """Up to uvicorn 0.28: nothing, `run_on` does it."""

    @contextlib.contextmanager
    def capture_signals(self):
        """From uvicorn 0.29 on, the same; it would kill the process by the signal in the end."""
        yield

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self._on_start()

    async def on_tick(self, counter):
        if self._stopped_at is not None and self._may_end():
            self.should_exit = True
        if counter % 10 == 0:  # each second
            self._close_stale_connections()
        return await super().on_tick(counter)

    def _may_end(self):
        seconds = time.monotonic() - self._stopped_at
        if seconds < _REFUSING_SECONDS:
            return False
        if self._gate.active and seconds > self._settings.shutdown_timeout:
            logging.error("Ending with %d requests that are not answered.", self._gate.active)
            return True
        return not self._gate.active

    def _close_stale_connections(self):
        """Closes connections on which nothing happens, at any stage.

        uvicorn does so only between requests; not before the first, within headers or after an
        answer that the client does not read.  A request is told from the next one by its cycle.
        """
        now = time.monotonic()
        settings = self._settings
        seen = {}
        for connection in list(self.server_state.connections):
            cycle = connection.cycle
            if cycle is None:
                allowed = settings.read_timeout
            elif cycle.response_complete:
                allowed = settings.keep_alive + settings.read_timeout
            else:
                allowed = settings.read_timeout * 2 + settings.request_timeout
            state = (cycle, allowed)
            last, since = self._seen.get(connection, (None, now))
            if last != state:
                since = now
            if now - since > allowed:
                connection.transport.abort()
            else:
                seen[connection] = state, since
        self._seen = seen


@contextlib.contextmanager
def _handling_signals(stop):
    """Calls `stop` at SIGTERM and SIGINT, in the main thread, the only one that can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stop()) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
