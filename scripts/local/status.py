"""`scripts/status`: every process of a home with its health, restarts and memory."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.local import system
from scripts.local.home import DEFAULT, Home, named
from scripts.local.system import System
from scripts.local.trouble import run_command


def memory_mb(pids: Iterable[int]) -> dict[int, float]:
    """Resident memory of each of these processes that runs: from /proc, by ps where there is none (macOS)."""
    running = [pid for pid in pids if pid]
    if Path("/proc/self/statm").exists():
        return _memory_of_proc(running)
    if not running:
        return {}
    listed = ",".join(map(str, running))
    answer = subprocess.run(
        ["ps", "-o", "pid=,rss=", "-p", listed], capture_output=True, text=True, timeout=120, check=False
    ).stdout
    return {
        int(pid): int(kilobytes) / 1024 for pid, kilobytes in (line.split() for line in answer.splitlines())
    }


def _memory_of_proc(pids: Iterable[int]) -> dict[int, float]:
    found = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            found[pid] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return found


def rows(running: System) -> list[dict[str, Any]]:
    """One record a process, in the order of the table."""
    leads = running.consul.leads()
    views = running.views()
    memory = memory_mb(view.state.pid for view in views if view.state)
    found = []
    for view in views:
        reason = view.why_not_healthy(consul_leads=leads)
        degraded = view.health.degraded if view.health and reason is None else ()
        pid = view.state.pid if view.state else 0
        found.append(
            {
                "process": view.process.name,
                "state": view.state.state if view.state else "unknown",
                "pid": pid or None,
                "healthy": reason is None and not degraded,
                "degraded": bool(degraded),
                "health": reason or _word(view.process.service, degraded),
                "reasons": list(degraded),
                "restarts": view.deaths,
                "memory_mb": round(memory[pid], 1) if pid in memory else None,
                "up_s": view.state.up_s if view.state and pid else None,
            }
        )
    return found


def _word(service: str, degraded: Sequence[str]) -> str:
    if degraded:
        return "degraded"
    return "passing" if service else "running"


def told(found: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Each reason once, with the processes that give it."""
    by: dict[str, list[str]] = {}
    for row in found:
        for reason in row["reasons"]:
            by.setdefault(reason, []).append(row["process"])
    return by


def _colour(row: dict[str, Any]) -> str:
    if row["healthy"]:
        return "green"
    return "bold yellow" if row["degraded"] else "bold red"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def show(found: list[dict[str, Any]], running: System) -> None:
    """The table, for a person."""
    from rich.console import Console  # here, so that `--help` works before anything is installed
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("process", "left"), ("pid", "right"), ("health", "left"), ("restarts", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("memory", justify="right")
    table.add_column("up", justify="right")
    for row in found:
        table.add_row(
            row["process"],
            str(row["pid"] or "-"),
            Text(row["health"], style=_colour(row)),
            str(row["restarts"]),
            "" if row["memory_mb"] is None else f"{row['memory_mb']:.0f} MB",
            _duration(row["up_s"]),
        )
    console = Console()
    console.print(table)
    for reason, processes in told(found).items():
        console.print(Text(f"\ndegraded ({', '.join(processes)}): {reason}", style="yellow"))
    total = sum(row["memory_mb"] or 0 for row in found)
    degraded = sum(row["degraded"] for row in found)
    console.print(
        f"\n{sum(row['healthy'] for row in found)} of {len(found)} healthy"
        f"{f', {degraded} degraded' if degraded else ''}, {total:.0f} MB in all; "
        f"{running.url}/dashboard",
        highlight=False,
    )


def main() -> None:
    """Entry point. Exit code 0: every process is healthy; 3: all serve, some are degraded; 1: some do not serve."""
    parser = argparse.ArgumentParser(
        prog="scripts/status",
        description="Every process of a running system: pid, health, restarts, memory; and why what is degraded is so. "
        "Exit code 0: all healthy; 3: all serve, some are degraded; 1: some do not serve.",
    )
    parser.add_argument(
        "--home", type=named, default=DEFAULT, metavar="DIR", help="which system (default: .run)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    arguments = parser.parse_args(sys.argv[1:])
    home = Home(arguments.home)

    def command() -> int:
        running = system.of_home(home)
        if not running.supervisor.answers():
            raise system.not_running(home)
        found = rows(running)
        if arguments.json:
            print(json.dumps(found, indent=2))
        else:
            show(found, running)
        if all(row["healthy"] for row in found):
            return 0
        return 3 if all(row["healthy"] or row["degraded"] for row in found) else 1

    run_command(command, lambda: home.root)


if __name__ == "__main__":
    main()
