"""What may happen to a store's processes and networks: each fault can be begun and ended."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from real_parts import wait_until
from store_parts import Store


@dataclass(frozen=True)
class Fault:
    """`begin` does it to the replica or coordinator of a name, `end` undoes it; `hold_s` is how long it lasts."""

    name: str
    begin: Callable[[Store, str], None]
    end: Callable[[Store, str], None]
    hold_s: float = 1.5
    target: str = "r"  # the names it may hit begin so


def kill(store: Store, name: str) -> None:
    """kill -9."""
    store.parts[name].stop(signal.SIGKILL)


def start(store: Store, name: str) -> None:
    """Start it again on the same disk and wait until it answers."""
    store.parts[name].start()


def terminate(store: Store, name: str) -> None:
    """SIGTERM: a graceful stop."""
    store.parts[name].stop(signal.SIGTERM)


def _signal(store: Store, name: str, number: int) -> None:
    process = store.parts[name].process
    assert process is not None
    os.killpg(process.pid, number)


def pause(store: Store, name: str) -> None:
    """SIGSTOP."""
    _signal(store, name, signal.SIGSTOP)


def proceed(store: Store, name: str) -> None:
    """SIGCONT."""
    _signal(store, name, signal.SIGCONT)


def isolate(store: Store, name: str) -> None:
    """Nothing arrives at it, nothing arrives from it."""
    host = store.host(name)
    for other in _others(store, name):
        host.cut_from(store.host(other))
        store.host(other).cut_from(host)


def deafen(store: Store, name: str) -> None:
    """One way: it is heard and hears nobody."""
    store.host(name).cut_from(*(store.host(other) for other in _others(store, name)))


def cut_replicas(store: Store, name: str) -> None:
    """It and the other replicas do not hear each other; coordinators and Consul reach all."""
    host = store.host(name)
    for other in store.data:
        if other != name:
            host.cut_from(store.host(other))
            store.host(other).cut_from(host)


def cut_from_consul(store: Store, name: str) -> None:
    """It and Consul do not hear each other."""
    store.host(name).cut_from(store.host("consul"))
    store.host("consul").cut_from(store.host(name))


def cut_from_one_front(store: Store, name: str) -> None:
    """One coordinator and it do not hear each other; the other coordinator does."""
    store.host(name).cut_from(store.host("f1"))
    store.host("f1").cut_from(store.host(name))


def heal(store: Store, _name: str) -> None:
    """Undo every cut."""
    for name in ("consul", *store.parts):
        store.host(name).heal()


def _others(store: Store, name: str) -> list[str]:
    return [other for other in ("consul", *store.parts) if other != name]


def wipe(store: Store, name: str) -> None:
    """kill -9, and its disk is gone."""
    kill(store, name)
    store.wipe(name)


def copy_back_begin(store: Store, name: str) -> None:
    """kill -9 while a copy of its files from before is put away."""
    backup = store.folder / f"{name}.backup"
    shutil.rmtree(backup, ignore_errors=True)
    shutil.copytree(store.data[name], backup)  # torn or not: it is never trusted
    time.sleep(0.5)  # so that the copy is older than what was acknowledged since
    kill(store, name)


def copy_back_end(store: Store, name: str) -> None:
    """The older files come up in the place of the newer ones."""
    store.wipe(name)
    shutil.copytree(store.folder / f"{name}.backup", store.data[name])
    start(store, name)


def stop_consul(store: Store, _name: str) -> None:
    """Consul is away."""
    store.consul.stop(signal.SIGKILL)


def start_consul(store: Store, _name: str) -> None:
    """Consul is back, with its data."""
    store.consul.start()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill -9", kill, start),
        Fault("graceful restart", terminate, start, hold_s=0.2),
        Fault("SIGSTOP", pause, proceed, hold_s=3.0),
        Fault("partition", isolate, heal, hold_s=3.0),
        Fault("one-way partition", deafen, heal, hold_s=3.0),
        Fault("partition between replicas, one restarted", cut_replicas, heal, hold_s=2.0),
        Fault("partition from one coordinator", cut_from_one_front, heal, hold_s=2.0),
        Fault("cut from Consul", cut_from_consul, heal, hold_s=3.0),
        Fault("wiped disk", wipe, start),
        Fault("files copied back", copy_back_begin, copy_back_end),
        Fault("Consul restarted", stop_consul, start_consul, hold_s=2.0),
        Fault("coordinator kill -9", kill, start, target="f"),
        Fault("coordinator SIGSTOP", pause, proceed, hold_s=3.0, target="f"),
    )
}


def evidence(store: Store) -> dict[str, float]:
    """What shows that a fault was felt: the epoch, and the protocol's counters of every coordinator that answers."""
    found: dict[str, float] = {"epoch": store.epoch()}
    for name in store.parts:
        if not name.startswith("f"):
            continue
        text = (store.get(name, "/metrics") or b"").decode()
        for event, count in re.findall(r'dd_kv_protocol_events_total\{event="(\w+)"\} ([0-9.e+]+)', text):
            found[f"{name} {event}"] = float(count)
    return found


def full_disk(store: Store, name: str, size: str) -> None:
    """Before it starts: its data lies on a file system of `size`."""
    store.data[name].mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(store.data[name])], check=True, timeout=10
    )


def unmount(store: Store, name: str) -> None:
    """After it has ended."""
    subprocess.run(["umount", str(store.data[name])], check=False, timeout=10, capture_output=True)


def one_of(store: Store, fault: Fault, rng: random.Random) -> str:
    """Whom to hit."""
    return rng.choice([name for name in sorted(store.parts) if name.startswith(fault.target)])


def wait_whole(store: Store, deadline_s: float = 30.0) -> None:
    """Until every assigned replica is in sync again."""
    wait_until(store.whole, f"all replicas are in sync again; absent: {store.absent()}", deadline_s)
