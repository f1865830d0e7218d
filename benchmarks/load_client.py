"""An HTTP client that keeps many connections busy and counts what comes back."""

import asyncio
import time
from typing import NamedTuple, Optional, Union


class Exchange(NamedTuple):
    """What came back for a request.

    Attributes:
        status: of the answer, or "refused" (no connection) or "lost" (no answer).
        body: of the answer.
        seconds: from sending to the end of the answer.
    """

    status: Union[int, str]
    body: Optional[bytes]
    seconds: float


_TIMEOUT = 60  # seconds; longer than the service lets anybody wait


class Connection:
    """One connection at a time, reopened when it was closed."""

    def __init__(self, address):
        self._address = address
        self._reader = self._writer = None

    async def exchange(self, data):
        """Sends the bytes of a request; returns an `Exchange`."""
        start = time.perf_counter()
        status, body = await self._exchange(data)
        return Exchange(status, body, time.perf_counter() - start)

    async def _exchange(self, data):
        if self._writer is None:
            try:
                self._reader, self._writer = await asyncio.open_connection(*self._address)
            except ConnectionRefusedError:
                return "refused", b""
        try:
            self._writer.write(data)
            return await asyncio.wait_for(self._read_answer(), _TIMEOUT)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            self.close()
            return "lost", b""

    async def _read_answer(self):
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines[1:-2])
        if b"content-length" in headers:
            body = await self._reader.readexactly(int(headers[b"content-length"]))
        else:
            body = await self._reader.read()
        if headers.get(b"connection") == b"close":
            self.close()
        return int(lines[0].split()[1]), body

    def close(self):
        if self._writer is not None:
            self._writer.close()
            self._writer = None


async def keep_busy(
    address, connections, next_request, on_exchange, pause_after=(), keep_alive=True
):
    """Sends one request after the other on each of some connections.

    Args:
        address: host and port.
        connections: how many.
        next_request: function giving (key, bytes), or None, which ends a connection.
        on_exchange: called with the key and the `Exchange`; a connection ends if it returns False.
        pause_after: statuses after which a connection waits for a moment.
        keep_alive: whether to use a connection again.
    """

    async def work():
        connection = Connection(address)
        while True:
            request = next_request()
            if request is None:
                break
            key, data = request
            exchange = await connection.exchange(data)
            if not keep_alive:
                connection.close()
            if on_exchange(key, exchange) is False:
                break
            if exchange.status in pause_after:
                await asyncio.sleep(0.05)
        connection.close()

    await asyncio.gather(*[work() for _ in range(connections)])
