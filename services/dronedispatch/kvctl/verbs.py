"""What each verb of kvctl does with a session: returns the exit code."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from dronedispatch.kvctl import bootstrap as bootstrapping
from dronedispatch.kvctl import view_table
from dronedispatch.kvctl.condition import condition, lines
from dronedispatch.kvctl.session import CannotDo, Session

console = Console(width=None if sys.stdout.isatty() else 160)


async def bootstrap(session: Session, parsed: argparse.Namespace) -> int:
    """kvctl bootstrap."""
    if parsed.rf < 1:
        raise CannotDo(f"--rf {parsed.rf}: at least 1")
    await bootstrapping.bootstrap(
        session, rf=parsed.rf, replicas=parsed.replicas, within_s=parsed.within, say=print
    )
    return 0


async def view(session: Session, parsed: argparse.Namespace) -> int:
    """kvctl view."""
    current = await session.needed_view()
    names = sorted(current.replicas)
    states = await session.states([current.replicas[name].url for name in names])
    by_name = dict(zip(names, states, strict=True))
    console.print(view_table.table(current, by_name))
    console.print("\n".join(lines(condition(current, by_name))), highlight=False, markup=False)
    if parsed.slots:
        for number, slot in enumerate(current.slots):
            lacking = f"   lacks {', '.join(slot.absent())}" if slot.absent() else ""
            console.print(f"slot {number:2}   {', '.join(slot.members())}{lacking}")
    return 0
