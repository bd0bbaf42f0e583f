"""scripts/status --nomad, scripts/logs --nomad: every instance that Nomad runs, and what it said last."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence

from scripts.cluster.deploy import OPTIONAL, ORDER, ask, nomad, running
from scripts.cluster.diagnosis import Json
from scripts.local import transitions
from scripts.local.trouble import Trouble

JOBS = ("rabbitmq", *ORDER, *OPTIONAL)
WRITERS = ("gateway", "dispatcher")


def instances(names: Sequence[str]) -> Iterator[tuple[str, int, Json]]:
    """(job, its version now, allocation) of everything that shall run."""
    for name in names:
        job = running(name)
        for one in (ask("job", "allocs", "-json", name) or []) if job else []:
            if one["DesiredStatus"] == "run" and one["ClientStatus"] != "complete":
                yield name, int((job or {})["Version"]), one


def row(name: str, version: int, one: Json) -> tuple[str, bool]:
    """A line for a person, and whether the instance is as it should be."""
    state = (one.get("TaskStates") or {}).get(name) or {}
    healthy = (one.get("DeploymentStatus") or {}).get("Healthy")
    word = {True: "healthy", False: "unhealthy", None: "not judged yet"}[healthy]
    old = "" if one["JobVersion"] == version else f", version {one['JobVersion']} of {version}"
    where = f"{name:<12} {one['ID'][:8]}  {one['NodeName']:<12} {one['ClientStatus']:<9}"
    text = f"{where} {word}{old}, {state.get('Restarts', 0)} restarts"
    return text, one["ClientStatus"] == "running" and healthy is True


def status(names: Sequence[str], *, as_json: bool = False) -> int:
    """0: every instance runs and is healthy."""
    rows = [row(*one) for one in instances(names)]
    for text, fine in rows:
        print(json.dumps({"instance": text, "healthy": fine}) if as_json else text)
    if not rows and not as_json:
        print("no job of ours runs: scripts/deploy")
    return 0 if rows and all(fine for _, fine in rows) else 1


def logs(names: Sequence[str], lines: int) -> int:
    """The last lines of every instance, both streams."""
    for name, _, one in instances(names):
        for stream in ((), ("-stderr",)):
            words = ("alloc", "logs", *stream, "-tail", "-n", str(lines), one["ID"], name)
            for line in nomad(*words, fine=(0, 1))[1].splitlines():
                print(f"{name} {one['ID'][:8]} {line}")
    return 0


def order_logs(order: str, *, as_json: bool) -> int:
    """One line a transition of one order, out of the whole logs of those who write orders. Raises Trouble without one."""
    found = []
    for name, _, one in instances(WRITERS):
        for line in nomad("alloc", "logs", one["ID"], name, fine=(0, 1))[1].splitlines():
            fields = transitions.transition(line, order)
            found += [fields] if fields is not None else []
    if not found:
        raise Trouble(f"no log of {' or '.join(WRITERS)} tells of order {order}")
    transitions.tell(transitions.in_order(found), as_json=as_json)
    return 0


def main(argv: Sequence[str]) -> int:
    """status [JOB ...] or logs [-n N] [JOB ...]."""
    parser = argparse.ArgumentParser(f"scripts/{argv[0]} --nomad", description=__doc__)
    parser.add_argument("what", choices=("status", "logs"), help=argparse.SUPPRESS)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {' '.join(JOBS)} (default: all)")
    parser.add_argument(
        "-n", "--lines", type=int, default=20, metavar="N", help="of each instance (logs; default 20)"
    )
    parser.add_argument("--order", metavar="ID", help="only the transitions of this order, by time (logs)")
    parser.add_argument("--json", action="store_true", help="one JSON document a line")
    options = parser.parse_intermixed_args(argv)
    unknown = sorted({*options.jobs} - {*JOBS})
    if unknown:
        parser.error(f"no job {unknown[0]!r}")
    names = options.jobs or JOBS
    if options.what == "status":
        return status(names, as_json=options.json)
    if options.order is not None:
        return order_logs(options.order, as_json=options.json)
    return logs(names, options.lines)
