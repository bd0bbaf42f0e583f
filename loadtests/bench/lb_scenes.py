"""The door's numbers under failure, each a scene that ends in findings: what was measured, and what it had to be."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import kill
from pathlib import Path

from loadtests.bench.lb_kills import Seen, clients, gateways, kill_gateways, pause_gateways
from loadtests.bench.lb_load import wrk
from loadtests.bench.lb_peers import Peer, haproxy, ours, ours_of
from loadtests.bench.lb_throughput import backends
from loadtests.bench.processes import descriptors, free_port, rss_bytes

from dronedispatch.testing.door import open_door
from dronedispatch.testing.peer import Script, always, hang_up, peer

GET = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
AMPLIFICATION_MAX = 1.2
REFUSAL_MAX_MS = 150.0
CLIENTS_MAX_BYTES = 64 * 1024 * 1024
GROWTH_MAX_BYTES = 8 * 1024 * 1024
EXCHANGE_S = 8.0

Told = Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """One figure and whether it is good enough."""

    what: str
    figure: str
    good: bool


def of_clients(name: str, seen: Seen, made: int | None = None) -> list[Finding]:
    """No error, no key answered with two ids, and no more deliveries than keys."""
    errors = ", ".join(f"{count} x {what}" for what, count in seen.errors.most_common(5)) or "0"
    found = [
        Finding(f"{name}: client errors in {seen.requests:,} requests", errors, not seen.failed),
        Finding(f"{name}: keys answered with two ids", str(seen.doubled), not seen.doubled),
    ]
    if made is not None:
        what = f"{name}: deliveries for {len(seen.ids):,} acknowledged orders"
        found.append(Finding(what, f"{made:,}", made == len(seen.ids)))
    return found


async def failover(seconds: float, every_s: float, how: signal.Signals, told: Told) -> list[Finding]:
    """A gateway of three ends by `how` every `every_s`; HAProxy is the control, before the same gateways."""
    with gateways() as made, ours(made.ports) as door:
        rounds = max(1, int(seconds / every_s))
        async with clients((door,), 16, seed=1) as seen:
            await kill_gateways(made, rounds, every_s, how, told)
        found = of_clients(f"{how.name}, {door.name}", seen[door.name], made.effects())
    with gateways() as made, haproxy(made.ports) as control:
        async with clients((control,), 16, seed=1) as seen:
            await kill_gateways(made, min(rounds, 6), every_s, how, told)
        theirs = seen[control.name]
    figure = str(theirs.failed)
    what = f"{how.name}, control, haproxy: errors in {theirs.requests:,} requests"
    found.append(Finding(what, figure, good=True))
    return found


async def silence(rounds: int, every_s: float, told: Told) -> list[Finding]:
    """A gateway of three says nothing for half of `every_s`, as a host that was cut off; then HAProxy before the same."""
    found: list[Finding] = []
    for start in (ours, haproxy):
        with gateways() as made, start(made.ports) as door:
            async with clients((door,), 16, seed=3) as seen:
                await pause_gateways(made, rounds, every_s, told)
            of_door = of_clients(f"a silent gateway, {door.name}", seen[door.name], made.effects())
            found += of_door if start is ours else [replace(one, good=True) for one in of_door[:1]]
    return found


async def exchange_doors(times: int, told: Told) -> list[Finding]:
    """Two doors on one socket are exchanged in turn, `times` times, while clients go on."""
    control = free_port()
    with gateways() as made, ours(made.ports, LB_PROCESSES="2", LB_CONTROL_PORT=str(control)) as door:
        async with clients((door,), 16, seed=2) as seen:
            for _ in range(times):
                await asyncio.sleep(EXCHANGE_S / 4)
                kill(door.pid, signal.SIGUSR2)
                told("SIGUSR2: both doors are exchanged")
                await asyncio.sleep(EXCHANGE_S)
        return of_clients("rolling restart of two doors", seen[door.name], made.effects())


async def all_failing(requests: int) -> list[Finding]:
    """Every gateway fails: how many tries does a request cost them, and how long does the client wait?"""
    found = []
    for name, script in (("reset", hang_up), ("503", always(BUSY))):
        found += await _failing(name, script, requests)
    return found + await _at_door("refused", [free_port() for _ in range(3)], requests)


async def _failing(name: str, script: Script, requests: int) -> list[Finding]:
    async with peer(script) as one, peer(script) as two, peer(script) as three:
        ports = [one.port, two.port, three.port]
        return await _at_door(name, ports, requests)


async def _at_door(name: str, ports: Sequence[int], requests: int) -> list[Finding]:
    async with open_door(ports) as door:
        waits = await _waits_ms(door.port, requests)
        tries = sum(gateway.requests for gateway in door.core.backends.members.values())
    share, slowest = tries / requests, max(waits)
    return [
        Finding(f"all gateways {name}: tries for each request", f"{share:.3f}", share <= AMPLIFICATION_MAX),
        Finding(
            f"all gateways {name}: slowest of {requests:,}", f"{slowest:.0f} ms", slowest <= REFUSAL_MAX_MS
        ),
    ]


async def _waits_ms(port: int, requests: int, at_a_time: int = 8) -> list[float]:
    loop, waits, turn = asyncio.get_running_loop(), list[float](), asyncio.Semaphore(at_a_time)

    async def one() -> None:
        async with turn:
            began_s = loop.time()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            answer = await reader.read()
            writer.close()
            waits.append((loop.time() - began_s) * 1000)
            assert answer.startswith((b"HTTP/1.1 502", b"HTTP/1.1 503")), answer[:80]

    await asyncio.gather(*(one() for _ in range(requests)))
    return waits


def limiter(seconds: float, rate: float = 400.0, burst: float = 400.0) -> list[Finding]:
    """Far more is asked than the rate lets through: exactly rate x time + burst pass."""
    limits = {"LB_RATE_PER_S": str(rate), "LB_RATE_BURST": str(burst), "LB_CLIENT_RATE_PER_S": "0"}
    with backends() as ports, ours(ports, **limits) as door:
        run = wrk(door.port, "get", 4, seconds)
    passed, wanted = run.requests - run.bad, rate * run.seconds + burst
    off = passed / wanted - 1
    what = f"limiter of {rate:g}/s + {burst:g} over {seconds:g} s: {passed:,} passed"
    return [Finding(what, f"{off:+.2%}", abs(off) <= 0.01)]


def many_clients(count: int, told: Told) -> list[Finding]:
    """`count` clients, each limited to one request: no first one is refused, no second one passes, memory is bounded."""
    limits = {
        "LB_CLIENT_RATE_PER_S": "0.001",
        "LB_CLIENT_RATE_BURST": "1",
        "LB_TRUSTED_PROXIES": "127.0.0.0/8",
    }
    done = refused = last = 0
    with backends() as ports, ours(ports, **limits) as door:
        before = rss_bytes(door.pid)
        while done < count:
            run = wrk(door.port, "get", 16, 5.0, first_client=done)
            last = done + run.requests
            done, refused = last + 16, refused + run.bad  # 16 more may have been under way at the end
            told(f"{last:,} clients: {rss_bytes(door.pid) / 1e6:.1f} MB")
        grown = rss_bytes(door.pid) - before
        again = wrk(door.port, "get", 16, 1.0, first_client=last - 45_000)  # wrk counts whole seconds
    passed = again.requests - again.bad
    return [
        Finding(f"memory for {last:,} clients", f"{grown / 1e6:+.1f} MB", grown < CLIENTS_MAX_BYTES),
        Finding("their first requests: refused", str(refused), refused == 0),
        Finding(f"{again.requests:,} second requests: passed", str(passed), passed == 0 < again.bad),
    ]


def soak(requests: int, told: Told, wheel: Path | None = None) -> list[Finding]:
    """Many requests over kept and fresh connections: memory and descriptors at the end as after the first quarter."""
    with backends() as ports, ours_of(wheel, ports) if wheel else ours(ports) as door:
        marks: list[tuple[int, int, int]] = []
        done = 0
        while done < requests:
            for load, connections in (("get", 64), ("post", 32), ("body", 8)):
                done += wrk(door.port, load, connections, 4.0).requests
            done += _fresh_connections(door, 2000)
            marks.append((done, rss_bytes(door.pid), descriptors(door.pid)))
            told(f"{done:,} requests: {marks[-1][1] / 1e6:.1f} MB, {marks[-1][2]} descriptors")
    first = next(mark for mark in marks if mark[0] >= requests / 4)
    grown, opened = marks[-1][1] - first[1], marks[-1][2] - first[2]
    what = f"memory after {marks[-1][0]:,} requests, since {first[0]:,}"
    return [
        Finding(what, f"{grown / 1e6:+.1f} MB", grown < GROWTH_MAX_BYTES),
        Finding("descriptors since then", f"{opened:+d}", opened < 16),
    ]


def _fresh_connections(door: Peer, count: int) -> int:
    async def run() -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(GET)
            await reader.read()
            writer.close()

    asyncio.run(run())
    return count
