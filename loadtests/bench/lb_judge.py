"""What a proxy does with bytes: what its client is told, what its upstream sees, and whether the next client suffers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from dronedispatch.testing.witness import Request, Witness

CORPUS = Path(__file__).resolve().parents[1] / "corpus" / "smuggling.json"
QUIET_S = 0.05
PATIENCE_S = 1.0
CANARIES = 2

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


class Payload(msgspec.Struct, frozen=True):
    """`wire` is latin-1. `legal`: a proxy may forward it; else every reader should refuse it."""

    name: str
    legal: bool
    wire: str
    why: str

    @property
    def data(self) -> bytes:
        return self.wire.encode("latin-1")


def corpus() -> tuple[Payload, ...]:
    """Every payload of loadtests/corpus/smuggling.json."""
    return msgspec.json.decode(CORPUS.read_bytes(), type=tuple[Payload, ...])


@dataclass(frozen=True)
class Verdict:
    """`statuses`: of the answers to the payload. `requests`: what reached the upstream. `faults`: none if all is well."""

    statuses: tuple[int, ...]
    requests: tuple[Request, ...]
    faults: tuple[str, ...]

    @property
    def forwarded(self) -> bool:
        return bool(self.requests)

    def __str__(self) -> str:
        told = ",".join(map(str, self.statuses)) or "-"
        return f"forwards {len(self.requests)} ({told})" if self.forwarded else f"refuses ({told})"


async def send(port: int, data: bytes, patience_s: float = PATIENCE_S, quiet_s: float = QUIET_S) -> bytes:
    """Write `data` on a fresh connection; everything until it closes or falls silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received, wait_s = b"", patience_s
    try:
        writer.write(data)
        while True:
            async with asyncio.timeout(wait_s):
                piece = await reader.read(65536)
            if not piece:
                return received
            received += piece
            wait_s = quiet_s
    except (TimeoutError, ConnectionError):
        return received
    finally:
        writer.transport.abort()


def statuses_of(answer: bytes) -> tuple[int, ...]:
    """The statuses of the answers in `answer`, without interim ones."""
    found = (int(match[1]) for match in _STATUS.finditer(answer))
    return tuple(status for status in found if status >= 200)


def answers_not_asked(answer: bytes, requests: Sequence[Request]) -> list[str]:
    """Targets that the client got answers for and that no request of its own had."""
    got = re.findall(rb"x-target: ([^\r]*)\r\n", answer, re.IGNORECASE)
    asked = {request.target for request in requests}
    return [target.decode() for target in got if target.decode() not in asked]


async def verdict_on(port: int, witness: Witness, data: bytes, patience_s: float, quiet_s: float) -> Verdict:
    """Send `data`, and look at both sides. `witness` is the only upstream."""
    witness.requests.clear()
    witness.violations.clear()
    answer = await send(port, data, patience_s, quiet_s)
    requests, statuses = tuple(witness.requests), statuses_of(answer)
    faults = [f"forwarded what has two readings: {violation}" for violation in witness.violations]
    faults += [f"answered for {target}" for target in answers_not_asked(answer, requests)]
    if len(requests) > len(statuses):
        faults.append(f"{len(requests)} requests reached the upstream, {len(statuses)} answers the client")
    return Verdict(statuses, requests, tuple(faults))


async def judge(port: int, witness: Witness, data: bytes, patience_s: float = PATIENCE_S) -> Verdict:
    """The same, and then as many canaries of other clients."""
    verdict = await verdict_on(port, witness, data, patience_s, QUIET_S)
    faults = list(verdict.faults)
    for number in range(CANARIES):
        target = f"/canary-{number}"
        told = await send(port, f"GET {target} HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\n".encode())
        if statuses_of(told) != (200,) or f"x-target: {target}\r\n".encode() not in told.lower():
            faults.append(f"the next client asked for {target} and got {told[:120]!r}")
    seen = {request.target for request in witness.requests[len(verdict.requests) :]}
    if extra := sorted(seen - {f"/canary-{number}" for number in range(CANARIES)}):
        faults.append(f"the upstream saw {extra} after the client was answered")
    return replace(verdict, faults=tuple(faults))
