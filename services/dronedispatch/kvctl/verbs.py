"""What each verb of kvctl does with a session: returns the exit code."""

from __future__ import annotations

import argparse

from rich.console import Console

from dronedispatch.kvctl import bootstrap as bootstrapping
from dronedispatch.kvctl import view_table
from dronedispatch.kvctl.session import CannotDo, Session

console = Console(soft_wrap=True)


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
    names = sorted(current.nodes)
    states = await session.states([current.nodes[name].url for name in names])
    console.print(view_table.table(current, dict(zip(names, states, strict=True))))
    return 0
