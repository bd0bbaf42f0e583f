"""A stranger in the catalogue: whoever cannot prove that it is a service of ours is told nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sanic import HTTPResponse, Request
from sanic.response import text

from dronedispatch.replication.calls import NOT_SENT, AnyReply, Read
from dronedispatch.replication.links import Links
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import RequestNotSent
from dronedispatch.runtime.http.proof import prover
from dronedispatch.runtime.settings import ProcessSettings, Secret
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.door import open_door, with_settings
from dronedispatch.testing.peer import OK, Script, always, hang_up, peer, read_request
from dronedispatch.testing.serving import serving
from dronedispatch.testing.waiting import until

SECRET = Secret("ours")
TOKEN = (("authorization", "Bearer of the store"),)
Seen = list[tuple[bytes, bytes]]


@asynccontextmanager
async def service(secret: Secret | None = SECRET, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A service of ours that answers GET /x."""
    app = create_web("gateway", ProcessSettings(service_secret=secret, host=host), ready=lambda: None)

    @app.get("/x")
    async def x(_request: Request) -> HTTPResponse:
        return text("ours")

    async with serving(app) as port:
        yield port


@asynccontextmanager
async def asking(secret: Secret | None = SECRET) -> AsyncIterator[HttpClient]:
    made = HttpClient(resend_on_reuse_reset=False, connect_timeout_s=60.0, prover=prover(secret))
    try:
        yield made
    finally:
        await made.close()


async def ask(http: HttpClient, port: int) -> bytes:
    answer = await http.request("GET", "127.0.0.1", port, "/x", headers=TOKEN, timeout_s=60.0)
    return answer.body


def relay_to(port: int, passed: list[bytes]) -> Script:
    """A stranger who passes every byte on to a real service, and its answers back, and notes what it was told."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_it = await asyncio.open_connection("127.0.0.1", port)

        async def back() -> None:
            while piece := await behind.read(65_536):
                writer.write(piece)

        task = asyncio.create_task(back())
        try:
            while piece := await reader.read(65_536):
                passed.append(piece)
                to_it.write(piece)
        finally:
            task.cancel()
            to_it.close()

    return script


async def test_a_service_of_ours_is_asked_once_a_connection_and_then_served() -> None:
    async with service() as port, asking() as http:
        assert [await ask(http, port) for _ in range(3)] == [b"ours"] * 3


async def test_while_a_secret_is_rotated_old_and_new_prove_to_each_other() -> None:
    both = Secret("new", also=("ours",))
    async with service() as port, asking(both) as http:
        assert await ask(http, port) == b"ours"


@pytest.mark.parametrize("script", [always(OK), hang_up], ids=["answers all", "hangs up"])
async def test_a_stranger_hears_no_token(script: Script) -> None:
    seen: Seen = []

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    async with peer(noting if script is not hang_up else hang_up) as stranger, asking() as http:
        with pytest.raises(RequestNotSent, match="did not prove"):
            await ask(http, stranger.port)
    assert all(b"authorization" not in head.lower() and b"/x" not in head for head, _ in seen)


async def test_while_one_caller_waits_for_the_proof_no_other_takes_the_connection() -> None:
    """The stranger answers the question as any server would, and at each turn of the loop one more caller asks."""
    seen: Seen = []
    async with peer(always(OK, seen)) as stranger, asking() as http:
        callers = []
        for _ in range(300):
            callers.append(asyncio.create_task(ask(http, stranger.port)))
            await asyncio.sleep(0)
        answers = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(answer) for answer in answers} == {RequestNotSent}
    assert all(b"authorization" not in head.lower() for head, _ in seen)


async def test_a_stranger_who_knows_another_secret_is_told_nothing() -> None:
    async with service(Secret("theirs")) as port, asking() as http:
        with pytest.raises(RequestNotSent, match="not one for this connection"):
            await ask(http, port)


async def test_a_stranger_who_passes_the_question_on_to_a_real_service_is_told_nothing() -> None:
    passed: list[bytes] = []
    async with service() as port, peer(relay_to(port, passed)) as stranger, asking() as http:
        with pytest.raises(RequestNotSent, match="not one for this connection"):
            await ask(http, stranger.port)
    assert b"Bearer" not in b"".join(passed)


async def test_without_a_secret_nobody_is_asked() -> None:
    async with peer(always(OK)) as anybody, asking(None) as http:
        assert await ask(http, anybody.port) == b"ok"


@pytest.mark.parametrize("nonce", ["", "x" * 64, "ab" * 31, "ab" * 33])
async def test_a_service_proves_nothing_for_what_is_no_nonce(nonce: str) -> None:
    async with service() as port, asking(None) as http:
        answer = await http.request(
            "GET", "127.0.0.1", port, f"/.well-known/dronedispatch-proof?nonce={nonce}", timeout_s=60.0
        )
    assert answer.status == 404


async def test_the_door_sends_no_request_to_a_gateway_that_proves_nothing() -> None:
    seen: Seen = []
    settings = with_settings(process=ProcessSettings(service_secret=SECRET), slow_start_s=0.0)
    settings = replace(settings, timeouts=replace(settings.timeouts, connect_s=30.0, total_s=60.0))
    async with (
        service() as port,
        peer(always(OK, seen)) as stranger,
        open_door([port, stranger.port], settings) as door,
    ):
        answers = [
            await door.exchange(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", timeout_s=60.0) for _ in range(8)
        ]
    assert all(answer.endswith(b"ours") for answer in answers)
    assert all(b" /x " not in head for head, _ in seen)


class Replies:
    """Hears what became of a call."""

    def __init__(self) -> None:
        self.heard: list[AnyReply] = []

    def replied(self, place: int, reply: AnyReply) -> None:
        self.heard.append(reply)


@asynccontextmanager
async def link_to(port: int, secret: Secret | None) -> AsyncIterator[Callable[[Replies], None]]:
    http = HttpClient(resend_on_reuse_reset=False)
    links = Links(http, "token of the store", SystemClock(), call_timeout_s=60.0, prover=prover(secret))
    links.follow({"r": f"http://127.0.0.1:{port}"}, lambda _name: False)
    link = links.get("r")
    assert link is not None
    try:
        yield lambda replies: link.put(Read("c", 1, "d", 0, "k"), replies, 0)
    finally:
        await links.close()
        await http.close()


async def test_a_coordinator_sends_no_batch_to_a_replica_that_proves_nothing() -> None:
    seen: Seen = []
    replies = Replies()
    async with peer(always(OK, seen)) as stranger, link_to(stranger.port, SECRET) as put:
        put(replies)
        await until(lambda: bool(replies.heard), "the call has its reply")
    assert replies.heard == [NOT_SENT]
    assert all(b"token of the store" not in head and not body for head, body in seen)
