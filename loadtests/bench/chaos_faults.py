"""What `scripts/bench chaos` may do to a system beside kill -9; each fault lasts a while, and is undone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from random import Random

import aio_pika
from loadtests.bench.chaos_copies import may_destroy, may_take
from loadtests.bench.running import Running, say
from scripts.local.table import program

DAMAGED_PLACES = 400
# More than half an hour of orders: a replica that has outgrown its disk stays away.
TMPFS_BYTES = 512 * 1024**2
FREEZABLE = ("dispatcher", "drone-sim", "kvstore", "kvfront", "gateway")
EXCHANGES = ("delivery_changes", "delivery_status", "drone_updates", "drone_orders")

Fault = Callable[[Running, Random], Awaitable[str]]
"""Returns whom it has hit; empty: there was nobody to hit at the moment."""


def one_of(names: Iterable[str], kind: str, rng: Random) -> str:
    """A process of that kind; empty: there is none."""
    found = sorted(name for name in names if name == kind or name.startswith(f"{kind}-"))
    return rng.choice(found) if found else ""


async def freeze(running: Running, rng: Random) -> str:
    """SIGSTOP of one process for 3 to 12 s."""
    kind = rng.choice(FREEZABLE)
    pids = await asyncio.to_thread(running.pids)
    name = one_of(pids, kind, rng)
    if not name or (kind == "kvstore" and await may_take(running) is not None):
        return ""
    os.kill(pids[name], signal.SIGSTOP)
    try:
        await asyncio.sleep(rng.uniform(3.0, 12.0))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids[name], signal.SIGCONT)
    return name


async def cut_one_way(running: Running, rng: Random) -> str:
    """What a replica answers is dropped for 5 to 15 s, what it asks is not."""
    replicas = running.endpoints("kvstore")
    if not replicas or await may_take(running) is not None:
        return ""
    replica = rng.choice(replicas)
    rule = ("OUTPUT", "-o", "lo", "-p", "tcp", "--sport", str(replica.port), "-j", "DROP")
    await _run("iptables", "-I", *rule)
    try:
        await asyncio.sleep(rng.uniform(5.0, 15.0))
    finally:
        await _run("iptables", "-D", *rule)
    return replica.id


async def delete_exchange(running: Running, rng: Random) -> str:
    """As an operator may; queues stay, bound to nothing."""
    name, amqp = rng.choice(EXCHANGES), running.amqp
    assert amqp.password is not None
    connection = await aio_pika.connect(
        host="127.0.0.1",
        port=running.options.ports.amqp,
        login=amqp.user,
        password=amqp.password.value,
        timeout=10,
    )
    async with connection:
        channel = await connection.channel()
        await channel.exchange_delete(name)
    return name


async def damage_pages(running: Running, rng: Random) -> str:
    """32 random bytes at 400 places of a stopped replica's data file, beyond its first two pages.

    A replica that was hit a moment ago has set its file aside, and may not have made the next one: nothing to damage.
    """
    async with _stopped_replica(running, rng) as (name, folder):
        path = folder / "data.mdb"
        if not name or not path.exists():
            return ""
        size = path.stat().st_size
        with path.open("r+b") as file:
            for _ in range(DAMAGED_PLACES):
                file.seek(rng.randrange(8_192, max(8_193, size - 32)))
                file.write(rng.randbytes(32))
    return name


async def fill_disk(running: Running, rng: Random) -> str:
    """A replica moves to a small file system (it joins anew); that is full for 10 s, and has room again."""
    async with _stopped_replica(running, rng) as (name, folder):
        if not name:
            return ""
        if not folder.is_mount():
            folder.mkdir(exist_ok=True)
            for old in folder.iterdir():
                if old.is_file():
                    old.unlink(missing_ok=True)
            await _run("mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder))
    await asyncio.sleep(10.0)
    filler = folder / "somebody-else's"
    try:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(1024**2)):
                pass
        await asyncio.sleep(10.0)
    finally:
        filler.unlink(missing_ok=True)
    return name


async def restore_consul(running: Running, rng: Random) -> str:
    """Consul is put back to what it was 5 s ago, and the operator types `kvctl recover`."""
    address = f"http://127.0.0.1:{running.options.ports.consul_http}/v1/snapshot"
    snapshot = await asyncio.to_thread(_ask, "GET", address, None)
    await asyncio.sleep(rng.uniform(4.0, 6.0))
    await asyncio.to_thread(_ask, "PUT", address, snapshot)
    environment = os.environ | {
        "CONSUL_HTTP_ADDR": f"http://127.0.0.1:{running.options.ports.consul_http}",
        "STORE_TOKEN_FILE": str(running.home.secret("store")),
    }
    await asyncio.sleep(2.0)
    await _run(program(), "kvctl", "recover", environ=environment, must=False)
    return "consul"


async def step_clock(running: Running, rng: Random) -> str:
    """The wall clock of the whole machine is set 5 to 60 s ahead or back, and after 5 to 15 s to the right time."""
    by_s, began_s = rng.choice((-1.0, 1.0)) * rng.uniform(5.0, 60.0), time.monotonic()
    right_s = time.time() - began_s
    time.clock_settime(time.CLOCK_REALTIME, right_s + time.monotonic() + by_s)
    try:
        await asyncio.sleep(rng.uniform(5.0, 15.0))
    finally:
        time.clock_settime(time.CLOCK_REALTIME, right_s + time.monotonic())
    return "ahead" if by_s > 0 else "back"


FAULTS: dict[str, Fault] = {
    "frozen": freeze,
    "one-way": cut_one_way,
    "exchange": delete_exchange,
    "damaged": damage_pages,
    "full-disk": fill_disk,
    "restored-consul": restore_consul,
    "clock": step_clock,
}
NEED_ROOT = ("one-way", "full-disk", "clock")
ON_REQUEST = ("clock",)
"""What touches more than the system: not part of `all`."""


def wanted_faults(given: Sequence[str], *, root: bool) -> tuple[str, ...]:
    """The faults of --fault; `all`: every one that this user may do and that touches nothing but the system."""
    every = [name for name in FAULTS if (root or name not in NEED_ROOT) and name not in ON_REQUEST]
    wanted = [one for name in given for one in (every if name == "all" else [name])]
    return tuple(dict.fromkeys(wanted))


def clean_up(home: Path) -> None:
    """Unmount what `fill_disk` has mounted; after the system has stopped."""
    for folder in (home / "data").glob("kvstore-*"):
        if folder.is_mount():
            subprocess.run(["umount", str(folder)], check=False, timeout=60)


@contextlib.asynccontextmanager
async def _stopped_replica(running: Running, rng: Random) -> AsyncIterator[tuple[str, Path]]:
    """(name, folder) of a replica that is stopped for the length of the block, by its supervisor.

    No name: none runs, or its copies are needed (chaos_copies.py): before the stop, or still after it.
    """
    name = one_of(await asyncio.to_thread(running.pids), "kvstore", rng)
    if not name or await may_take(running) is not None:
        yield "", running.home.root
        return
    await asyncio.to_thread(running.supervisor.stop, name)
    for _ in range(300):
        if name not in await asyncio.to_thread(running.pids):
            break
        await asyncio.sleep(0.2)
    try:
        free = name not in await asyncio.to_thread(running.pids) and await may_destroy(running, name) is None
        yield name if free else "", running.home.root / "data" / name
    finally:
        await asyncio.to_thread(running.supervisor.start, name)


def _ask(method: str, address: str, body: bytes | None) -> bytes:
    request = urllib.request.Request(address, data=body, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        content: bytes = answer.read()
        return content


async def _run(*words: str, environ: dict[str, str] | None = None, must: bool = True) -> None:
    done = await asyncio.to_thread(
        subprocess.run, words, capture_output=True, text=True, timeout=120, check=False, env=environ
    )
    if done.returncode != 0 and must:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    if not must:
        say(f"  {' '.join(words[1:])}: {(done.stdout + done.stderr).strip()[:200]}")
