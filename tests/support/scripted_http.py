"""A server that answers over HTTP from a script: (method, path) -> answers in order, the last one for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]


@dataclass
class ScriptedServer:
    """The script and, in `asked`, everything that was asked: (method, path, body)."""

    address: str
    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def on(self, method: str, path: str, *answers: Any, status: int = 200) -> None:
        """Answer `method path` with `answers` in this order; the last one stays."""
        self.answers[method, path] = [(status, answer) for answer in answers]

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """The next answer; 404 for what the script does not hold."""
        self.asked.append((method, path, body))
        planned = self.answers.get((method, path))
        if planned is not None:
            return planned.pop(0) if len(planned) > 1 else planned[0]
        return 404, "not found"

    def bodies(self, method: str, path: str) -> list[Any]:
        """What was sent to `method path`."""
        return [
            body
            for asked_method, asked_path, body in self.asked
            if (asked_method, asked_path) == (method, path)
        ]


def _decoded(body: bytes) -> Any:
    """JSON where it is, the text where it is not: Consul's KV takes anything."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """A server on a free port of the loopback interface, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = _decoded(self.rfile.read(length)) if length else None
            status, answer = nomad.answer(self.command, self.path, body)
            payload = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815  (names of the base class)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (name of the base class)
            """Says nothing: the script remembers what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    nomad = ScriptedServer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield nomad
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=120)
