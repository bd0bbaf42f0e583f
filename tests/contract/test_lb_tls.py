"""The door beyond loopback: TLS with a certificate that may change, or plain HTTP, said by name, that takes no token."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dronedispatch.lb.core.identity import is_loopback
from dronedispatch.lb.downstream import Downstream
from dronedispatch.lb.listener import open_listener
from dronedispatch.lb.settings import Settings, from_environment
from dronedispatch.lb.tls import Certificate
from dronedispatch.runtime.serve import CannotListen
from dronedispatch.testing.door import OpenDoor, open_door, read_until_quiet, with_settings
from dronedispatch.testing.peer import OK, always
from support.certificates import make_certificate
from support.lb_wire import GET, Seen, door_before

WITH_TOKEN = GET.replace(b"Host: a\r\n", b"Host: a\r\nAuthorization: Bearer of the operator\r\n")
WITH_SESSION = GET.replace(b"Host: a\r\n", b"Host: a\r\nCookie: a=b; dd_session=1.2.3.4\r\n")


async def shown_by(port: int) -> bytes:
    """The certificate that a client is given now."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


@asynccontextmanager
async def over_tls(door: OpenDoor, certificate: Certificate) -> AsyncIterator[int]:
    """Its port for clients that speak TLS."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Downstream(door.core), "127.0.0.1", 0, ssl=certificate.context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_over_tls_a_request_is_served_and_its_gateway_told_so(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "one")
    seen: Seen = []
    certificate = Certificate(str(cert), str(key))
    async with door_before(always(OK, seen)) as door, over_tls(door, certificate) as port:
        trusting = ssl.create_default_context(cafile=str(cert))
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trusting, family=2)
        writer.write(WITH_TOKEN)
        answer = await read_until_quiet(reader, 30.0)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nx-forwarded-proto: https\r\n" in seen[0][0]
    assert b"\r\nauthorization: Bearer of the operator\r\n" in seen[0][0].replace(b"Auth", b"auth")


async def test_a_changed_certificate_is_read_again_and_a_broken_one_leaves_the_old(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "one")
    certificate = Certificate(str(cert), str(key))
    async with open_door([]) as door, over_tls(door, certificate) as port:
        first = await shown_by(port)
        assert await certificate.once() == "unchanged"
        cert.write_text("no certificate")
        assert await certificate.once() == "unusable"
        assert await shown_by(port) == first
        make_certificate(tmp_path, "two")
        assert await certificate.once() == "read again"
        second = await shown_by(port)
        cert.unlink()
        assert await certificate.once() == "unchanged"
        assert await shown_by(port) == second
    assert second != first


@pytest.mark.parametrize(
    "make", [lambda _: None, lambda path: path.write_text("x")], ids=["missing", "garbage"]
)
def test_a_certificate_that_cannot_be_used_is_one_sentence_that_names_the_setting(
    make: object, tmp_path: Path
) -> None:
    make(tmp_path / "cert.pem")  # type: ignore[operator]
    with pytest.raises(CannotListen, match="LB_TLS_CERT"):
        Certificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_loopback_the_door_is_not_opened_plain_unless_that_is_said(host: str) -> None:
    environment = {"LB_HOST": host, "LB_ADVERTISE": "10.0.0.1", "LB_PORT": "0"}
    with pytest.raises(CannotListen, match="LB_TLS_CERT and LB_TLS_KEY"):
        open_listener(from_environment(environment), {})
    open_listener(from_environment(environment | {"LB_PLAIN": "clients"}), {}).close()


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        Settings(tls_cert="/x")


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("unknown", False),
    ],
)
def test_what_is_loopback(address: str, ours: bool) -> None:
    assert is_loopback(address) is ours


@pytest.mark.parametrize(
    ("plain", "proxies", "client", "request_", "status"),
    [
        ("clients", "", "127.0.0.9", GET, 200),
        ("clients", "", "127.0.0.9", WITH_TOKEN, 403),
        ("loopback", "", "127.0.0.9", WITH_TOKEN, 403),
        ("clients", "", "127.0.0.9", WITH_SESSION, 403),
        ("everybody", "", "127.0.0.9", WITH_TOKEN, 200),
        ("clients", "127.0.0.0/8", "127.0.0.9", WITH_TOKEN, 200),
        ("clients", "", "127.0.0.1", WITH_TOKEN, 200),
    ],
    ids=[
        "order",
        "token",
        "token, loopback only",
        "the session that stands for it",
        "laboratory",
        "through our proxy",
        "from the machine itself",
    ],
)
async def test_from_another_machine_a_token_is_refused_without_tls(
    plain: str, proxies: str, client: str, request_: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "dronedispatch.lb.downstream.is_loopback", lambda _: False
    )  # as if these were outside
    seen: Seen = []
    settings = with_settings(plain=plain, trusted_proxies=proxies)
    async with door_before(always(OK, seen), settings=settings) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, local_addr=(client, 0))
        writer.write(request_)
        answer = await read_until_quiet(reader, 30.0)
        writer.close()
    assert int(answer.split()[1]) == status
    assert len(seen) == (status == 200)
