"""Load for the stores: wrk for those that speak HTTP, with bytes made beforehand; redis-benchmark for Redis."""

from __future__ import annotations

import base64
import csv
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loadtests.bench.lb_load import Wrk, run_script
from loadtests.bench.processes import binary

from dronedispatch.kv import wire
from dronedispatch.kv.client import Get, Put

Peer = Literal["ours", "etcd", "consul", "redis"]
Verb = Literal["put", "get"]
VERBS: tuple[Verb, ...] = ("put", "get")
TOKEN = "only-for-the-benchmark"
KNOWN = f"authorization: Bearer {TOKEN}\r\n"
KEYS = 10_000
NAMES = [f"key{number}" for number in range(KEYS)]
VALUE = b"value" * 60
CONNECTIONS = 64
BATCH, BATCH_CONNECTIONS = 200, 8
REDIS_PER_S = 25_000  # about so many requests take a second

# Each thread knows one address, and asks for what is in the file: in its order, or by chance.
ASK = """
local requests, n, addresses, made = {{}}, {first}, {{{addresses}}}, 0
local file = io.open("{path}", "rb")
for size in function() return file:read(8) end do requests[#requests + 1] = file:read(tonumber(size)) end
function setup(thread)
  thread.addr = wrk.lookup("127.0.0.1", addresses[made % #addresses + 1])[1]
  made = made + 1
  thread:set("seed", made)
end
function init() math.randomseed(seed) end
function request()
  n = n + 1
  return requests[{pick}]
end
"""
IN_TURN, BY_CHANCE = "(n - 1) % #requests + 1", "math.random(#requests)"


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement; `operations` counts each of a batch."""

    operations: int
    per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def request_of(peer: Peer, verb: Verb, key: str) -> bytes:
    """The bytes of one operation on `key`."""
    if peer == "etcd":
        fields = {"key": key.encode(), **({"value": VALUE} if verb == "put" else {})}
        body = json.dumps({name: base64.b64encode(value).decode() for name, value in fields.items()}).encode()
        return _http("POST", "/v3/kv/put" if verb == "put" else "/v3/kv/range", body)
    base, raw, head = ("/v1/kv/", "?raw", "") if peer == "consul" else ("/kv/", "", KNOWN)
    if verb == "put":
        return _http("PUT", base + key, VALUE, head)
    return _http("GET", base + key + raw, b"", head)


def batch_of(verb: Verb, keys: Sequence[str]) -> bytes:
    """The bytes of one POST /kv/batch."""
    body = wire.encode([Put(key, VALUE) if verb == "put" else Get(key) for key in keys])
    return _http("POST", "/kv/batch", body, f"{KNOWN}content-type: {wire.MSGPACK}\r\n")


def _http(method: str, target: str, body: bytes, head: str = "") -> bytes:
    start = f"{method} {target} HTTP/1.1\r\nhost: it\r\n{head}"
    return f"{start}content-length: {len(body)}\r\n\r\n".encode() + body


def fill(peer: Peer, ports: Sequence[int]) -> None:
    """Each key once, at least."""
    if peer == "redis":
        _redis("put", ports[0], 10 * KEYS)  # it chooses the keys
        return
    requests = [request_of(peer, "put", key) for key in NAMES]
    done = 0
    while done < KEYS:
        done += _wrk(requests, ports[:1], CONNECTIONS, 2.0, IN_TURN, done).requests


def measure(peer: Peer, verb: Verb, ports: Sequence[int], seconds: float) -> Round:
    """Single operations on keys by chance, one at a time on each of CONNECTIONS."""
    if peer == "redis":
        return _redis(verb, ports[0], int(seconds * REDIS_PER_S))
    requests = [request_of(peer, verb, key) for key in NAMES]
    return _round(_wrk(requests, ports, CONNECTIONS, seconds, BY_CHANCE))


def measure_batches(verb: Verb, ports: Sequence[int], seconds: float) -> Round:
    """BATCH operations a request, of our store."""
    requests = [batch_of(verb, NAMES[at : at + BATCH]) for at in range(0, KEYS, BATCH)]
    return _round(_wrk(requests, ports, BATCH_CONNECTIONS, seconds, BY_CHANCE), BATCH)


def _round(told: Wrk, each: int = 1) -> Round:
    done = told.requests * each
    return Round(done, done / told.seconds, told.p50 / 1_000, told.p99 / 1_000, told.bad)


def _wrk(
    requests: Sequence[bytes],
    ports: Sequence[int],
    connections: int,
    seconds: float,
    pick: str,
    first: int = 0,
) -> Wrk:
    addresses = ", ".join(map(str, ports))
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(b"%08d%b" % (len(request), request) for request in requests))
        file.flush()
        lua = ASK.format(first=first, addresses=addresses, path=Path(file.name), pick=pick)
        return run_script(lua, f"http://127.0.0.1:{ports[0]}", connections, seconds, threads=len(ports))


def _redis(verb: Verb, port: int, requests: int) -> Round:
    sizes = {"-p": port, "-c": CONNECTIONS, "-d": len(VALUE), "-r": KEYS, "-n": requests}
    words = [str(word) for pair in sizes.items() for word in pair]
    command = [binary("redis-benchmark"), *words, "-t", "set" if verb == "put" else "get", "--csv"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [row] = csv.DictReader(told.splitlines())
    return Round(
        requests, float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"]), errors=0
    )
