"""The view as a table for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from dronedispatch.kvctl.session import CannotDo, ReplicaState
from dronedispatch.replication.view import View


def table(view: View, states: Mapping[str, ReplicaState | CannotDo]) -> Table:
    """One row a replica: where it is, for how many slots it answers, leads or is lacking, and what it says of itself."""
    made = Table(title=f"cluster {view.cluster}   epoch {view.epoch}   rf {view.rf}", title_justify="left")
    for column in ("replica", "url", "in sync", "leads", "lacks", "keys", "floor", "state"):
        made.add_column(
            column, justify="right" if column in {"in sync", "leads", "lacks", "keys", "floor"} else "left"
        )
    for name, replica in sorted(view.replicas.items()):
        slots = range(len(view.slots))
        in_sync = sum(name in view.slots[slot].in_sync for slot in slots)
        leads = sum(view.members(slot)[0][0] == name for slot in slots)
        lacks = sum(name in view.slots[slot].absent() for slot in slots)
        state = states[name]
        if isinstance(state, CannotDo):
            made.add_row(
                name, replica.url, str(in_sync), str(leads), str(lacks), "?", "?", "[red]does not answer"
            )
            continue
        word = "[green]in sync" if not lacks else f"[yellow]{state.last_join}"
        if state.disk != replica.disk:
            word = "[yellow]has another disk than the view knows"
        made.add_row(
            name, replica.url, str(in_sync), str(leads), str(lacks), str(state.keys), str(state.floor), word
        )
    return made
