"""How the Consul adapter's calls travel, on scripted peers: encrypted, sent again, or not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dronedispatch.runtime.consul import ConsulClient, ConsulUnavailable, ConsulUnknown
from dronedispatch.testing.peer import Peer, Script, answering, peer
from support.certificates import make_certificate

ENTRY = b'[{"Key":"k","Value":"djE=","ModifyIndex":7}]'
FOUND = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nContent-Length: %d\r\n\r\n%b" % (len(ENTRY), ENTRY)
WRITTEN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue"
Seen = list[tuple[bytes, bytes]]


@asynccontextmanager
async def consul_behind_tls(script: Script, folder: Path) -> AsyncIterator[tuple[int, Path]]:
    cert, key = make_certificate(folder, "consul")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = await asyncio.start_server(Peer(script).serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], cert
    finally:
        server.close()


async def test_over_https_consul_shows_a_certificate_of_the_given_authority(tmp_path: Path) -> None:
    async with consul_behind_tls(answering(FOUND), tmp_path) as (port, cert):
        client = ConsulClient(f"https://127.0.0.1:{port}", cacert=str(cert))
        assert await client.kv_get("k") == (9, b"v1", 7)
        await client.close()


async def test_a_consul_that_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    seen: Seen = []
    async with consul_behind_tls(answering(WRITTEN, seen=seen), tmp_path) as (port, _):
        client = ConsulClient(f"https://127.0.0.1:{port}", token="secret")
        with pytest.raises(ConsulUnavailable, match="certificate"):
            await client.kv_put("k", b"v")
        await client.close()
    assert seen == []


async def test_the_token_and_the_value_travel_and_the_token_in_no_address() -> None:
    seen: Seen = []
    async with peer(answering(WRITTEN, seen=seen)) as there:
        client = ConsulClient(f"127.0.0.1:{there.port}", token="secret")
        assert await client.kv_put("a/b c", b"\x00v", cas=3)
        await client.close()
    ((head, body),) = seen
    assert head.startswith(b"PUT /v1/kv/a/b%20c?cas=3 HTTP/1.1\r\n")
    assert b"\r\nX-Consul-Token: secret\r\n" in head
    assert body == b"\x00v"


async def test_a_read_on_a_kept_connection_that_had_ended_is_sent_again() -> None:
    async with peer(hangs_up_after_one(FOUND)) as there:
        client = ConsulClient(f"127.0.0.1:{there.port}")
        assert [await client.kv_get("k") for _ in range(3)] == [(9, b"v1", 7)] * 3
        await client.close()


async def test_a_write_on_a_kept_connection_that_had_ended_is_unknown_and_not_sent_again() -> None:
    seen: Seen = []
    async with peer(hangs_up_after_one(WRITTEN, seen)) as there:
        client = ConsulClient(f"127.0.0.1:{there.port}")
        assert await client.kv_put("k", b"1", cas=0)
        with pytest.raises(ConsulUnknown):
            await client.kv_put("k", b"2", cas=7)
        await client.close()
    assert [body for _, body in seen] == [b"1", b"2"]


def hangs_up_after_one(answer: bytes, seen: Seen | None = None) -> Script:
    """Answers the first request of a connection, and hangs up on the second, which it has read."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(answer, b"", seen=seen)(reader, writer)

    return script
