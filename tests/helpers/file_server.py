"""A server of a folder on the loopback, which counts requests, bytes and connections, and fails as it is told."""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class FileServer(ThreadingHTTPServer):
    """The server.

    Attributes:
        requests: (method, path of the file) → requests.
        sent: path of the file → bytes of all answers.
        connections: connections that were opened.
        status: path of the file → statuses of its next answers to GET, in place of the file; 0: no answer for a second.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(root)))
        self.requests: Counter[tuple[str, str]] = Counter()
        self.sent: Counter[str] = Counter()
        self.connections = 0
        self.status: dict[str, list[int]] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections
    server: FileServer

    def do_GET(self) -> None:
        name = self.path.partition("?")[0]
        self.server.requests[self.command, name] += 1
        file = Path(self.translate_path(self.path))
        statuses = self.server.status.get(name) if self.command == "GET" else None
        if statuses and not statuses[0]:
            statuses.pop(0)
            time.sleep(1)
        elif statuses:
            self.send_error(statuses.pop(0))
        elif not file.is_file():
            super().do_GET()
        else:
            content = file.read_bytes()
            size = len(content)
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if asked:
                content = content[int(asked[1]) : int(asked[2]) + 1]
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {asked[1]}-{int(asked[1]) + len(content) - 1}/{size}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.server.sent[name] += len(content)
                self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def served(root: Path) -> Iterator[FileServer]:
    """Serve a folder during the block."""
    with FileServer(root) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
