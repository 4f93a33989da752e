"""A server on this machine that behaves as badly as real ones do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """What it serves, how it misbehaves, and what it was asked.

    Attributes
    ----------
    files
        Path -> content.
    cuts
        Path -> how many bytes each request in turn gets before the connection is cut; whole after the last.
    answers
        Path -> (status, headers, body) given to each request in turn, before anything else.
    ranges
        False to ignore ranges, as some servers do.
    asked
        (path, value of the header Range), in order.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = field(default_factory=dict)
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)


def _handler(state: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_words: object) -> None:
            """Say nothing."""

        def _send(self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:sent])
            self.close_connection = True

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append((self.path, wanted))
            if state.answers.get(self.path):
                self._send(*state.answers[self.path].pop(0))
                return
            content = state.files.get(self.path)
            if content is None:
                self._send(404, {"Content-Type": "text/html"}, b"<html><title>Nothing here</title></html>")
                return
            found = re.fullmatch(r"bytes=(\d+)-", wanted) if state.ranges else None
            start = int(found[1]) if found else 0
            if found and start >= len(content):
                self._send(416, {}, b"")
                return
            cut = state.cuts[self.path].pop(0) if state.cuts.get(self.path) else None
            status = 206 if found else 200
            headers = {"Content-Type": "application/octet-stream"}
            if found:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(status, headers, content[start:], cut)

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """Serve on a free port of the loopback until the block ends."""
    state = Server()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
