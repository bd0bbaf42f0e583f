"""The tool beside real files of the system: a terminal that is read by key, a Consul behind TLS."""

from __future__ import annotations

import os
import ssl
import subprocess
import termios
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dronedispatch.tool.doctor import _consul
from dronedispatch.tool.keys import QUIT, keys
from dronedispatch.tool.system import ResolvedTarget

PATIENCE_S = 600.0


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends: of who types, and of who reads."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_a_key_is_read_without_enter_and_the_terminal_is_as_it_was(terminal: tuple[int, int]) -> None:
    types, reads = terminal
    before = termios.tcgetattr(reads)
    with keys(reads) as pressed:
        os.write(types, b"q")
        assert pressed(PATIENCE_S) == QUIT
        assert pressed(0.0) == ""
        assert termios.tcgetattr(reads) != before
    assert termios.tcgetattr(reads) == before


class Leader(BaseHTTPRequestHandler):
    """Consul's answer to who leads."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'"127.0.0.1:8300"')

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Its address, over TLS, and the certificate that vouches for it."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*words, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=600
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    server = HTTPServer(("127.0.0.1", 0), Leader)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", cert
    server.shutdown()
    thread.join(PATIENCE_S)
    server.server_close()


def test_a_consul_behind_tls_is_asked_as_its_own_command_line_asks_it(
    consul: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, cert = consul
    target = ResolvedTarget("http://127.0.0.1:1", None, None, 1.0)
    monkeypatch.setenv("CONSUL_HTTP_ADDR", address)
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    monkeypatch.delenv("CONSUL_CACERT", raising=False)
    assert "CONSUL_CACERT names the file of its CA" in str(_consul(target))
    monkeypatch.setenv("CONSUL_CACERT", str(cert.with_name("nowhere.pem")))
    assert "cannot be used" in str(_consul(target))
    monkeypatch.setenv("CONSUL_CACERT", str(cert))
    assert _consul(target) == ""
