"""A loopback port that answers with JSON: what the fake servers of the tests have in common."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as it came.

    Attributes:
        headers: By lower-case name.
    """

    method: str
    path: str
    headers: dict[str, str]
    data: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.data) if self.data else None


Answer = tuple[int, Any] | None
"""Status and document; None cuts the connection without an answer."""


@contextmanager
def listening(answer: Callable[[Asked], Answer], *, port: int = 0) -> Iterator[int]:
    """Answer on a loopback port, a free one unless one is named; afterwards open connections get no more answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def _serve(self) -> None:
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            outcome = answer(Asked(self.command, self.path, headers, data))
            if outcome is None or not listener.is_up:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            status, document = outcome
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
            """Say nothing."""

    class Listener(ThreadingHTTPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 64
        is_up = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing: clients that go away are part of the tests."""

    listener = Listener(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield listener.server_port
    finally:
        listener.is_up = False
        listener.shutdown()
        listener.server_close()
