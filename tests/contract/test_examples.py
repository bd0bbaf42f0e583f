"""The examples do what they say, against a real gateway on memory twins; tests/integration has them on a whole system."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving

EXAMPLES = CHECKOUT / "examples"


async def run(*command: str | Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


def deliveries(gateway: MemoryGateway) -> list[str]:
    return [key for key in gateway.kv.records if key.startswith("delivery:")]


async def test_the_shell_session_places_one_order_and_is_told_of_a_wrong_field() -> None:
    gateway = MemoryGateway()
    async with serving(gateway.app) as port:
        code, said = await run(EXAMPLES / "session.sh", f"http://127.0.0.1:{port}")

    assert code == 0, said
    [key] = deliveries(gateway)
    assert said.count(key.removeprefix("delivery:")) >= 4, said
    assert "destination" in said.partition("a wrong field is named")[2]


async def test_the_python_client_places_one_order() -> None:
    gateway = MemoryGateway()
    async with serving(gateway.app) as port:
        code, said = await run(
            sys.executable, EXAMPLES / "client.py", f"http://127.0.0.1:{port}", "--no-wait"
        )

    assert code == 0, said
    assert deliveries(gateway) == [f"delivery:{said.removeprefix('placed ').strip()}"]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"HTTP/1.1 404 N\r\n\r\n", b"no\r\n"]
)
async def test_the_python_client_takes_somebody_elses_server_for_none_of_ours(answer: bytes) -> None:
    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answered, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        code, said = await run(sys.executable, EXAMPLES / "client.py", f"http://127.0.0.1:{port}")
    assert code == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("word", ["--help", "nowhere", "--no-such"])
async def test_an_example_that_is_called_wrongly_says_how_it_is_called(word: str) -> None:
    for name in ("client.py", "session.sh"):
        code, said = await run(EXAMPLES / name, word)
        assert code == (0 if word == "--help" else 2)
        assert f"examples/{name} [http://127.0.0.1:8080]" in said
        assert "Traceback" not in said
