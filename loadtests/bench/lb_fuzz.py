"""Differential fuzzing: generated requests through our door, HAProxy and nginx, each in front of a witness.

Found would be: a message forwarded that has two readings, an answer that was not asked for, a request that the client
got no answer to; a request that we forward and a peer refuses; a request that both forward and read differently.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

from loadtests.bench.lb_judge import QUIET_S, Verdict, verdict_on
from loadtests.bench.lb_peers import haproxy, nginx

from dronedispatch.testing.door import open_door
from dronedispatch.testing.witness import Request, Witness, witness

LANES = 8
PATIENCE_S = 0.25

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
TARGETS = ("/a", "/a?b=c", "/a%20b", "//a", "/a/../b", "/;a", "http://h/a", "*", "/a?b=http://c/", "/~a_b")
HEADERS = (
    "X-A: b",
    "X-A:b",
    "X-A: \t b \t",
    "x-a:",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: x-a",
    "Accept: */*",
    'X-Q: "a, b"',
    "Content-Type: text/plain",
    "TE: trailers",
    "Trailer: X-T",
    "Expect: 100-continue",
    "Upgrade: h2c",
    "X-Forwarded-For: 1.1.1.1",
    "X_U: 1",
)
FRAMINGS = (
    "Content-Length: {length}",
    "content-length:{length}",
    "Content-Length: 0{length}",
    "Transfer-Encoding: chunked",
    "transfer-encoding: Chunked",
    "Content-Length: {length}\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: {length}",
    "Content-Length: {length}\r\nContent-Length: {length}",
    "Content-Length: {length}, {length}",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding : chunked",
    "Content-Length: +{length}",
    "Content-Length: {length} ",
)
SPICES = (*"\n\r", "\r\n", *"\x00 \t\x0b:,;#0\x7f\x80", "\r\n\r\n", "\r\n ", *"_/%")


def chunked(rng: Random, body: str) -> str:
    """The body in chunks of random sizes, some with extensions, upper case or leading zeros, some with a trailer."""
    out, at = "", 0
    while at < len(body):
        size = rng.randint(1, len(body) - at)
        form = rng.choice(("{:x}", "{:X}", "00{:x}", "{:x};e", "{:x};e=v", '{:x};e="v"'))
        out += f"{form.format(size)}\r\n{body[at : at + size]}\r\n"
        at += size
    return out + rng.choice(("0\r\n\r\n", "000\r\n\r\n", "0\r\nX-T: 1\r\n\r\n", "0;e\r\n\r\n"))


def generate(rng: Random) -> bytes:
    """One or two requests, mostly well-formed, with none to three spices dropped into them."""
    wire = "".join(_one(rng) for _ in range(rng.choice((1, 1, 1, 2))))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        at = rng.randint(0, len(wire))
        cut = at + rng.choice((0, 0, 1, 2))
        wire = wire[:at] + rng.choice(SPICES) + wire[cut:]
    return wire.encode("latin-1")


def _one(rng: Random) -> str:
    version = rng.choice(("1.1",) * 12 + ("1.0", "1.2", "2.0"))
    lines = [f"{rng.choice(METHODS)} {rng.choice(TARGETS)} HTTP/{version}"]
    lines += rng.choices(("Host: h", "host:h", "Host: h\r\nHost: h", "X-No: host"), (20, 4, 1, 1))
    lines += rng.sample(HEADERS, rng.choice((0, 0, 1, 2, 3)))
    if rng.random() < 0.5:
        return "\r\n".join(lines) + "\r\n\r\n"
    body = rng.choice(("x", "hello", "GET /s HTTP/1.1\r\nHost: h\r\n\r\n", "a" * 50))
    framing = rng.choices(FRAMINGS, (12, 4, 2, 12, 3) + (1,) * 9)[0]
    lines.insert(rng.randint(2, len(lines)), framing.format(length=len(body)))
    if rng.random() < 0.2:
        rng.shuffle(lines[1:])
    return "\r\n".join(lines) + "\r\n\r\n" + (chunked(rng, body) if "hunked" in framing else body)


def reading(request: Request) -> tuple[str, str, bytes]:
    """What a request means, whoever forwarded it: HAProxy leaves an absolute target absolute."""
    target = request.target
    if target.startswith("http://"):
        path = target[7:].partition("/")
        target = f"/{path[2]}"
    return request.method, target, request.body


@dataclass
class Findings:
    """`serious` must be empty; `laxer` and `other_reading` too, beyond what `explained` says."""

    cases: int = 0
    forwarded: int = 0
    serious: list[str] = field(default_factory=list)
    laxer: list[str] = field(default_factory=list)
    other_reading: list[str] = field(default_factory=list)
    explained: Counter[str] = field(default_factory=Counter)
    peers_serious: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Target:
    """A proxy and the witness behind it."""

    name: str
    port: int
    upstream: Witness

    async def judge(self, wire: bytes) -> Verdict:
        """The verdict; a second time, with more patience, when an answer seems to be missing: it may only be late."""
        verdict = await verdict_on(self.port, self.upstream, wire, PATIENCE_S, QUIET_S)
        if len(verdict.requests) <= len(verdict.statuses):
            return verdict
        await asyncio.sleep(QUIET_S * 20)  # what is still under way of the first time is none of the second
        return await self.judge_patiently(wire)

    async def judge_patiently(self, wire: bytes) -> Verdict:
        """As `judge`, on a machine so busy that a proxy pauses in the middle of its answer."""
        return await verdict_on(self.port, self.upstream, wire, PATIENCE_S, QUIET_S * 20)


def why_laxer_is_right(extra: Request, peer: str) -> str | None:
    """The reason why `peer` may refuse what we forward, None if there is none."""
    if peer == "nginx" and extra.method == "OPTIONS" and extra.target == "*":
        return "nginx knows no OPTIONS * (RFC 9110 section 9.3.7)"
    return None


async def lane(
    ours: Target,
    peers: Sequence[Target],
    rng: Random,
    cases: int,
    findings: Findings,
    told: Callable[[], None],
) -> None:
    """Run `cases` generated requests through one set of proxies."""
    for _ in range(cases):
        wire = generate(rng)
        mine = await ours.judge(wire)
        findings.cases += 1
        findings.serious += [f"{fault}: {wire!r}" for fault in mine.faults]
        told()
        if not mine.forwarded:
            continue
        findings.forwarded += 1
        for peer, theirs in zip(
            peers, await asyncio.gather(*(one.judge(wire) for one in peers)), strict=True
        ):
            if len(theirs.requests) < len(mine.requests):
                theirs = await peer.judge_patiently(wire)
            compare(wire, mine, peer.name, theirs, findings)


def compare(wire: bytes, mine: Verdict, peer: str, theirs: Verdict, findings: Findings) -> None:
    """Note where `peer` is stricter than we, or reads another request out of the same bytes."""
    if theirs.faults:
        findings.peers_serious[peer] += 1
        return
    common = min(len(mine.requests), len(theirs.requests))
    if [*map(reading, mine.requests[:common])] != [*map(reading, theirs.requests[:common])]:
        findings.other_reading.append(f"{peer} read {theirs.requests}, we {mine.requests}: {wire!r}")
    elif len(mine.requests) > common:
        reason = why_laxer_is_right(mine.requests[common], peer)
        if reason is None:
            findings.laxer.append(f"{peer} {theirs.statuses}, we {mine.statuses}: {wire!r}")
        else:
            findings.explained[reason] += 1


async def fuzz(cases: int, seed: int, told: Callable[[], None], lanes: int = LANES) -> Findings:
    """`cases` requests over `lanes` sets of proxies, from one seed. Raises NotInstalled."""
    findings = Findings()
    async with AsyncExitStack() as stack:
        work = []
        for number in range(lanes):
            upstream = await stack.enter_async_context(witness())
            door = await stack.enter_async_context(open_door([upstream.port]))
            ours = Target("ours", door.port, upstream)
            peers = []
            for name, start in (("haproxy", haproxy), ("nginx", nginx)):
                behind = await stack.enter_async_context(witness())
                running = stack.enter_context(start([behind.port]))
                peers.append(Target(name, running.port, behind))
            share = cases // lanes + (number < cases % lanes)
            work.append(lane(ours, peers, Random(f"{seed}/{number}"), share, findings, told))
        await asyncio.gather(*work)
    return findings
