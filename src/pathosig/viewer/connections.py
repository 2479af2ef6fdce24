"""Connections of the viewer: how many there may be, and how long one may stay silent."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 512
"""Connections and requests at once; more are answered with 503."""

IDLE_S = 10
"""Seconds without a complete request, after which a connection is closed."""


class Impatient(H11Protocol):
    """uvicorn's HTTP protocol, closing connections that ask for nothing.

    Its own time limit begins with the first answer: a connection that sends nothing, or a header letter by letter, would stay open
    for ever.
    """

    _before: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit."""
        super().connection_made(transport)
        self.loop.call_later(IDLE_S, self._watch)

    def _watch(self) -> None:
        if self.transport.is_closing():
            return
        is_answered = self.cycle is None or self.cycle.response_complete
        if is_answered and self.cycle is self._before:
            self.transport.close()
            return
        self._before = self.cycle
        self.loop.call_later(IDLE_S, self._watch)


def impatient_server(app: Any) -> uvicorn.Server:
    """A server of an application with these limits, which logs no address."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Impatient,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE_S,
        )
    )
