"""What is wrong with a system, from what was found when looking, and what to type next. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CLOCK_OFF_S = 2.0  # a Date header has whole seconds: what is below may be rounding
FREE_BYTES_MIN = 500 * 1024 * 1024
FREE_SHARE_MIN = 0.05
DESCRIPTORS_USED_MAX = 0.8
RESTARTS_MANY = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` is a sentence, `next` the command to type."""

    area: str
    what: str
    next: str


@dataclass(frozen=True, slots=True)
class Sights:
    """What the looking has brought; None: it was not looked at, which is said.

    `health`: the document of GET /health; `door`: why there is none. `ahead_s`: the server's Date less our
    clock, 0 within the header's second. `processes`: the rows of scripts/status. `consul`: "" for well, or what is wrong.
    `descriptors`: process -> (open, limit).
    """

    health: Mapping[str, Any] | None = None
    door: str = ""
    ahead_s: float | None = None
    processes: tuple[Mapping[str, Any], ...] | None = None
    processes_trouble: str = ""
    consul: str | None = None
    free_bytes: int | None = None
    total_bytes: int = 0
    descriptors: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def diagnose(seen: Sights, home: str = "") -> list[Finding]:
    """All that is wrong, gravest first; empty: all is well. `home`: " --home DIR", for the commands."""
    found = [
        *_door(seen, home),
        *_processes(seen, home),
        *_consul(seen, home),
        *_reasons(seen, home),
        *_clock(seen),
        *_disk(seen, home),
        *_descriptors(seen, home),
    ]
    return said_once(found)


def said_once(found: Iterable[Finding]) -> list[Finding]:
    """Every process that has a trouble tells it, since so many seconds each: one sentence is enough."""
    known: dict[tuple[str, str], Finding] = {}
    for one in found:
        known.setdefault((one.area, without_durations(one.what)), one)
    return list(known.values())


def without_durations(sentence: str) -> str:
    """What it says, however long that has been so."""
    return re.sub(r"\b[0-9.]+ s\b", "", sentence)


def _door(seen: Sights, home: str) -> Iterable[Finding]:
    if seen.door:
        yield Finding("door", seen.door.splitlines()[0], f"scripts/status{home}; scripts/logs lb{home}")


def _processes(seen: Sights, home: str) -> Iterable[Finding]:
    if seen.processes_trouble:
        yield Finding("processes", seen.processes_trouble, f"scripts/up{home} --detach")
    for row in seen.processes or ():
        name = str(row["process"])
        area = "broker" if name == "rabbitmq" else "Consul" if name == "consul" else "processes"
        if not row["healthy"] and not row["degraded"]:
            yield Finding(
                area,
                f"{name} does not serve: {str(row['health']).partition(' -> ')[0]}",
                f"scripts/logs {name}{home}",
            )
        elif int(row.get("restarts") or 0) >= RESTARTS_MANY:
            yield Finding(
                area, f"{name} was restarted {row['restarts']} times", f"scripts/logs {name}{home} -n 200"
            )
        for reason in row.get("reasons") or ():
            text, _, following = str(reason).partition(" -> ")
            yield Finding("health", text, with_home(following, home))


def _consul(seen: Sights, home: str) -> Iterable[Finding]:
    if seen.consul:
        yield Finding("Consul", seen.consul, f"scripts/logs consul{home}")


def _reasons(seen: Sights, home: str) -> Iterable[Finding]:
    for one in (seen.health or {}).get("reasons") or ():
        if isinstance(one, Mapping):
            yield Finding("health", str(one.get("text")), with_home(str(one.get("next")), home))
    word = (seen.health or {}).get("health")
    if word not in {None, "healthy"} and not (seen.health or {}).get("reasons"):
        yield Finding("health", f"the system says {word} and no reason", f"scripts/status{home}")


def with_home(command: str, home: str) -> str:
    """The commands that a process names do not know the home: name it."""
    if not home:
        return command
    for name in ("dronedispatch kvctl", "scripts/status", "scripts/logs"):
        command = command.replace(name, f"{name}{home}")
    return command


def _clock(seen: Sights) -> Iterable[Finding]:
    ahead_s = seen.ahead_s
    if ahead_s is not None and abs(ahead_s) > CLOCK_OFF_S:
        word = "ahead of" if ahead_s > 0 else "behind"
        yield Finding(
            "clock",
            f"the system's clock is {abs(ahead_s):.0f} s {word} this machine's",
            "chronyc tracking (or timedatectl), on both",
        )


def _disk(seen: Sights, home: str) -> Iterable[Finding]:
    if seen.free_bytes is None:
        return
    folder = home.removeprefix(" --home ") or ".run"
    if seen.free_bytes < FREE_BYTES_MIN or seen.free_bytes < FREE_SHARE_MIN * seen.total_bytes:
        yield Finding(
            "disk",
            f"{seen.free_bytes // 2**20} MB of {seen.total_bytes // 2**20} MB are free on the disk of the home",
            f"du -sh {folder}/data {folder}/logs; free 1 GB, or lower GATEWAY_KEEP_DAYS",
        )


def _descriptors(seen: Sights, home: str) -> Iterable[Finding]:
    for name, (used, limit) in sorted(seen.descriptors.items()):
        if limit and used > DESCRIPTORS_USED_MAX * limit:
            yield Finding(
                "descriptors",
                f"{name} has {used} of {limit} descriptors open",
                f"ulimit -n {max(65536, 2 * limit)}; scripts/down{home}; scripts/up{home} --detach",
            )
