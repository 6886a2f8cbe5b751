"""uvicorn's HTTP protocol with a bound on headers: without one, a client that never ends them fills the memory.

And what follows a request to change the protocol, which is never done, is not parsed as the next request.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when the line and headers of a request are longer than the bound."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_headers, self._header_bytes = True, 0

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are there; what follows is the body, which has a bound of its own."""
        self._in_headers, self._header_bytes = False, 0
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # The parser takes its body for whatever the new protocol is, uvicorn for the next request.
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        """Parse what has come. A piece that ends within the headers counts toward the bound."""
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The headers are larger than {MOST_HEADER_BYTES} bytes.")
