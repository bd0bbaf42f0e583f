"""Every result of a long benchmark at once on disk, so that one that was interrupted goes on where it was (`--resume`).

A line is valid for the code that made it: results of an older dispatcher are never mixed with new ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from loadtests.bench.dispatch_report import Measured

from dronedispatch.dispatcher import core
from dronedispatch.fleet import city


@dataclass(frozen=True)
class Case:
    """One run, as plain values: it is sent to a worker process."""

    policy: str
    load: float | None
    seed: int
    orders: int
    drones: int
    clustered: bool
    no_fly: bool
    chargers: int | None


def code_digest() -> str:
    """Of everything that decides a result: the core, the fleet's rules, the benchmark's own world."""
    here = Path(__file__).parent
    rooms = [Path(core.__path__[0]).rglob("*.py"), Path(city.__file__).parent.glob("*.py")]
    files = sorted(path for room in [*rooms, here.glob("dispatch*.py")] for path in room)
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]


def write(log: TextIO, case: Case, measured: Measured, code: str) -> None:
    """One line; a line break before it ends the line that an interruption cut short."""
    record = {"code": code, "case": asdict(case), "measured": asdict(measured)}
    print("\n" + json.dumps(record), file=log, flush=True)


def known(log: Path, cases: Iterable[Case], code: str) -> dict[Case, Measured]:
    """What the log says of these cases; a line that was cut short is no result."""
    wanted, found = set(cases), dict[Case, Measured]()
    for line in log.read_text().splitlines() if log.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        case = Case(**record["case"])
        if record["code"] == code and case in wanted:
            found[case] = Measured(**record["measured"])
    return found
