"""Load for a proxy: wrk for requests, our own reader for server-sent events."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from loadtests.bench.arrivals import share
from loadtests.bench.lb_peers import Peer
from loadtests.bench.processes import binary, cpu_s

DONE = """
done = function(summary, latency, requests)
  io.write(string.format('\\nRESULT {"requests":%d,"seconds":%.6f,"p50":%.1f,"p99":%.1f,"p999":%.1f,"bad":%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout))
end
"""
POST = (
    'wrk.method = "POST"; wrk.body = string.rep("x", 1024); wrk.headers["Content-Type"] = "application/json"'
)
CLIENTS = """
local n = {first}
request = function()
  n = n + 1
  wrk.headers["X-Forwarded-For"] = string.format("%d.%d.%d.%d", 1 + n / 16777216, n / 65536 % 256, n / 256 % 256, n % 256)
  return wrk.format()
end
"""
PACE = "local d = {milliseconds}; function delay() return math.random() * 2 * d end"


class Wrk(msgspec.Struct):
    """What wrk says; latencies in us."""

    requests: int
    seconds: float
    p50: float
    p99: float
    p999: float
    bad: int


@dataclass(frozen=True)
class Measure:
    """One run. Latencies in us; `cpu_us` is the proxy's CPU for each request or event."""

    peer: str
    load: str
    connections: int
    per_s: float
    cpu_us: float
    p50_us: float
    p99_us: float
    p999_us: float
    bad: int


def wrk(
    port: int,
    load: str,
    connections: int,
    seconds: float,
    pin: Sequence[str] = (),
    pace_ms: float | None = None,
    first_client: int | None = None,
) -> Wrk:
    """`load`: get, post or body. `pace_ms`: the mean pause of each connection between two requests.

    `first_client`: each request comes from a client of its own, numbered from here.
    """
    lines = [POST] if load == "post" else []
    if pace_ms is not None:
        lines.append(PACE.format(milliseconds=f"{pace_ms:.3f}"))
    if first_client is not None:
        lines.append(CLIENTS.format(first=first_client))
    return run_script("\n".join(lines), f"http://127.0.0.1:{port}/{load}", connections, seconds, pin)


def run_script(
    lua: str, url: str, connections: int, seconds: float, pin: Sequence[str] = (), threads: int = 1
) -> Wrk:
    """wrk with a script."""
    with tempfile.TemporaryDirectory() as home:
        script = Path(home) / "load.lua"
        script.write_text(f"{lua}\n{DONE}", encoding="utf-8")
        sizes = (f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s")
        command = (*pin, binary("wrk"), *sizes, "-s", str(script), url)
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return msgspec.json.decode(told.partition("RESULT ")[2], type=Wrk)


def run_wrk(
    peer: Peer, load: str, connections: int, seconds: float, pin: Sequence[str], pace_ms: float | None = None
) -> Measure:
    """`wrk` with the CPU that `peer` used meanwhile."""
    before_s = cpu_s(peer.pid)
    told = wrk(peer.port, load, connections, seconds, pin, pace_ms)
    cpu_us = (cpu_s(peer.pid) - before_s) / max(1, told.requests) * 1e6
    name = load if pace_ms is None else f"{load} at half load"
    per_s = told.requests / told.seconds
    return Measure(peer.name, name, connections, per_s, cpu_us, told.p50, told.p99, told.p999, told.bad)


async def _stream(port: int, every_ms: int, until_s: float, delays_us: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /events?every={every_ms} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    try:
        while time.monotonic() < until_s:
            line = await reader.readuntil(b"\n")
            if line.startswith(b"id: 1-"):
                delays_us.append((time.monotonic_ns() - int(line[6:])) / 1000)
    finally:
        writer.transport.abort()


async def run_events(peer: Peer, streams: int, seconds: float, every_ms: int = 20) -> Measure:
    """`streams` readers of server-sent events, one each `every_ms`; the delay from the back end to the reader."""
    delays_us: list[float] = []
    before_s, began_s = cpu_s(peer.pid), time.monotonic()
    readers = (_stream(peer.port, every_ms, began_s + seconds, delays_us) for _ in range(streams))
    await asyncio.gather(*readers)
    used_s, took_s = cpu_s(peer.pid) - before_s, time.monotonic() - began_s
    count = len(delays_us)
    middle, high, highest = (share(delays_us, of) for of in (0.5, 0.99, 0.999))
    return Measure(peer.name, "sse", streams, count / took_s, used_s / count * 1e6, middle, high, highest, 0)
