"""What may happen to a store's processes and networks: each fault can be begun and ended."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass

from support.signals import await_effect
from support.store_parts import Store
from support.waiting import wait_until

Evidence = dict[str, float]


def epoch_changed(before: Evidence, after: Evidence) -> bool:
    """A vote was cast, or a replica joined."""
    return after["epoch"] > before["epoch"]


def events_of(*words: str) -> Callable[[Evidence, Evidence], bool]:
    """Some coordinator has counted one of these events, or has been started anew (and has forgotten its counts)."""

    def happened(before: Evidence, after: Evidence) -> bool:
        names = [name for name in {*before, *after} if name.rpartition(" ")[2] in words]
        return any(after.get(name, 0.0) != before.get(name, 0.0) for name in names)

    return happened


@dataclass(frozen=True)
class Fault:
    """`begin` does it to the replica or coordinator of a name, `end` undoes it; `hold_s` is how long it lasts.

    `felt`: what must have changed in between, or the fault did nothing and the run has shown nothing. `copies`: with fewer
    copies of each key than this it is not played.
    """

    name: str
    begin: Callable[[Store, str], None]
    end: Callable[[Store, str], None]
    hold_s: float = 1.5
    target: str = "r"  # the names it may hit begin so
    felt: Callable[[Evidence, Evidence], bool] = epoch_changed
    copies: int = 1


def kill(store: Store, name: str) -> None:
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
    await_effect(process.pid, number)


def pause(store: Store, name: str) -> None:
    _signal(store, name, signal.SIGSTOP)


def proceed(store: Store, name: str) -> None:
    _signal(store, name, signal.SIGCONT)


def apart(store: Store, name: str, *others: str) -> None:
    """It and each of the others do not hear each other."""
    for other in others:
        store.host(name).cut_from(store.host(other))
        store.host(other).cut_from(store.host(name))


def isolate(store: Store, name: str) -> None:
    """Nothing arrives at it, nothing arrives from it."""
    apart(store, name, *_others(store, name))


def deafen(store: Store, name: str) -> None:
    """One way: it is heard and hears nobody."""
    store.host(name).cut_from(*(store.host(other) for other in _others(store, name)))


def mute(store: Store, name: str) -> None:
    """One way: what it answers is lost, what it asks for is not, so it can join and nobody can reach it."""
    store.host(name).mute(store.ports[name])


def restart_cut_off_from_replicas(store: Store, name: str) -> None:
    """kill -9, then up again where the other replicas and it do not hear each other: it cannot join."""
    restart_cut_off(store, name, *(other for other in store.data if other != name))


def restart_cut_off_from_consul(store: Store, name: str) -> None:
    """kill -9, then up again where it does not reach Consul: it cannot know the view."""
    restart_cut_off(store, name, "consul")


def restart_cut_off(store: Store, name: str, *others: str) -> None:
    kill(store, name)
    wait_until(lambda: name in store.absent(), f"{name} is voted out", 10)
    apart(store, name, *others)
    start(store, name)


def kill_beside_a_blind_front(store: Store, name: str) -> None:
    """One coordinator is cut off from Consul, and then a replica dies: only the other one can vote."""
    apart(store, "f1", "consul")
    kill(store, name)


def heal_and_start(store: Store, name: str) -> None:
    heal(store, name)
    start(store, name)


def cut_from_one_front(store: Store, name: str) -> None:
    """One coordinator and it do not hear each other; the other coordinator does."""
    apart(store, name, "f1")


def heal(store: Store, _name: str) -> None:
    for name in ("consul", *store.parts):
        store.host(name).heal()


def _others(store: Store, name: str) -> list[str]:
    return [other for other in ("consul", *store.parts) if other != name]


def wipe(store: Store, name: str) -> None:
    """kill -9, and its disk is gone."""
    kill(store, name)
    store.wipe(name)


def written(store: Store, name: str) -> object:
    """Changes as clients write: they begin new keys each second."""
    return store.state(name).get("keys")


def copy_back_begin(store: Store, name: str) -> None:
    """kill -9 while a copy of its files from before is put away."""
    backup = store.folder / f"{name}.backup"
    shutil.rmtree(backup, ignore_errors=True)
    shutil.copytree(store.data[name], backup)  # torn or not: it is never trusted
    keys = written(store, name)
    wait_until(lambda: written(store, name) != keys, "the copy is older than what was acknowledged since")
    kill(store, name)


def copy_back_end(store: Store, name: str) -> None:
    """The older files come up in the place of the newer ones."""
    store.wipe(name)
    shutil.copytree(store.folder / f"{name}.backup", store.data[name])
    start(store, name)


def kill_beside_consul(store: Store, name: str) -> None:
    """Consul dies, and then a replica: its slots have to wait until Consul can record the vote."""
    store.consul.stop(signal.SIGKILL)
    kill(store, name)


def start_consul_first(store: Store, name: str) -> None:
    """Consul is back with its data, then the replica."""
    store.consul.start()
    wait_until(
        lambda: name in store.absent() or store.rf == 1, f"{name} is voted out once Consul is back", 20
    )
    start(store, name)


def kill_all(store: Store, _name: str) -> None:
    for name in store.data:
        kill(store, name)


def start_all(store: Store, _name: str) -> None:
    store.start_parts(*store.data)


def everything(store: Store, name: str) -> None:
    """At once: Consul dies, a coordinator pauses, one replica dies, and the network between two others is cut."""
    others = [other for other in store.data if other != name]
    pause(store, "f1")
    store.consul.stop(signal.SIGKILL)
    kill(store, name)
    store.host(others[0]).cut_from(store.host(others[1]))


def nothing(store: Store, name: str) -> None:
    heal(store, name)
    proceed(store, "f1")
    start_consul_first(store, name)


RETRIED = events_of("finish", "apply_silent", "replicate_failed", "refresh", "last_member")

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill -9", kill, start, felt=events_of("voted_out", "last_member")),
        Fault("graceful restart", terminate, start, hold_s=0.2, copies=2),
        Fault("SIGSTOP", pause, proceed, hold_s=3.0, felt=events_of("voted_out", "last_member")),
        Fault("partition", isolate, heal, hold_s=3.0, felt=events_of("voted_out", "last_member")),
        Fault("one-way partition", deafen, heal, hold_s=3.0, felt=events_of("voted_out", "last_member")),
        Fault("answers lost", mute, heal, hold_s=6.0, felt=events_of("voted_out", "last_member")),
        Fault("restart cut off from the replicas", restart_cut_off_from_replicas, heal, hold_s=2.5, copies=2),
        Fault("restart cut off from Consul", restart_cut_off_from_consul, heal, hold_s=2.5, copies=2),
        Fault("partition from one coordinator", cut_from_one_front, heal, hold_s=2.0, felt=events_of("peer_disagrees")),
        Fault("kill -9 beside a blind coordinator", kill_beside_a_blind_front, heal_and_start, hold_s=2.5, copies=2),
        Fault("wiped disk", wipe, start, copies=2),
        Fault("files copied back", copy_back_begin, copy_back_end, copies=2),
        Fault("Consul and a replica kill -9", kill_beside_consul, start_consul_first, hold_s=2.0, felt=RETRIED),
        Fault("all replicas kill -9", kill_all, start_all, hold_s=0.5, felt=events_of("last_member")),
        Fault("all at once", everything, nothing, hold_s=2.0, felt=RETRIED),
        Fault("coordinator kill -9", kill, start, target="f", copies=2, felt=events_of("read_repair", "refresh", "finish")),
        Fault("coordinator SIGSTOP", pause, proceed, hold_s=3.0, target="f", copies=2, felt=RETRIED),
    )
}  # fmt: skip


def evidence(store: Store) -> Evidence:
    """What shows that a fault was felt: the epoch, and the protocol's counters of every coordinator that answers."""
    found: Evidence = {"epoch": store.epoch()}
    for name in store.parts:
        if not name.startswith("f"):
            continue
        text = (store.get(name, "/metrics") or b"").decode()
        for event, count in re.findall(r'dd_kv_protocol_events_total\{event="(\w+)"\} ([0-9.e+]+)', text):
            found[f"{name} {event}"] = float(count)
    return found


def counted(found: Evidence, events: Collection[str]) -> float:
    """How often the coordinators have met one of `events`."""
    return sum(count for name, count in found.items() if name.rpartition(" ")[2] in events)


def mend(store: Store) -> None:
    """Whatever a fault has done to the network and the processes is undone; returns when the store is whole."""
    heal(store, "")
    for part in (store.consul, *store.parts.values()):
        if part.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(part.process.pid, signal.SIGCONT)
    if not store.consul.runs():
        store.consul.start()
    store.start_parts(*(name for name, part in store.parts.items() if not part.runs()))
    wait_whole(store)


def full_disk(store: Store, name: str, size: str) -> None:
    """Before it starts: its data lies on a file system of `size`."""
    store.data[name].mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(store.data[name])],
        check=True,
        timeout=600,
    )


def unmount(store: Store, name: str) -> None:
    """After it has ended."""
    subprocess.run(["umount", str(store.data[name])], check=False, timeout=600, capture_output=True)


def one_of(store: Store, fault: Fault, rng: random.Random) -> str:
    return rng.choice([name for name in sorted(store.parts) if name.startswith(fault.target)])


def wait_whole(store: Store, ordinary_s: float = 30.0) -> None:
    """Until every assigned replica is in sync again."""
    wait_until(store.whole, f"all replicas are in sync again; absent: {store.absent()}", ordinary_s)
