"""The examples do what they say, against a real gateway on memory twins; tests/integration has them on a whole system."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

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
