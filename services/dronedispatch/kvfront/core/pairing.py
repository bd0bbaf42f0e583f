"""Two writes, the second begun only when the first is stored on every member of its slot: three round trips, or four.

Where the first's slot has two members, and the second of them leads the slot of the second write, that replica can do both:
store the first's record and, in the same transaction, apply the second. At that moment the first is stored on every member,
as if its coordinator had heard of it and begun the second then.
"""

from __future__ import annotations

from dronedispatch.kvfront.core.resolution import Done, Resolution, Unknown
from dronedispatch.kvfront.core.writing import (
    Attempt,
    Write,
    apply,
    finish,
    not_applied,
    not_replicated,
    replicate,
    write,
)
from dronedispatch.replication.calls import Applied, Mismatch, Relay, Relayed, Silent
from dronedispatch.replication.effects import Ask, Steps
from dronedispatch.replication.rules import ALL, Rules

PairResolution = tuple[Resolution, Resolution | None]
"""Of the first write and of the second; None: the second was not begun."""


def write_pair(
    first: Write, second: Write, deadline_s: float, *, min_in_sync: int = 1, rules: Rules = ALL
) -> Steps[PairResolution]:
    """Carry out `first`, and `second` behind it."""
    applied = yield from apply(first, deadline_s, min_in_sync=min_in_sync, rules=rules)
    if not isinstance(applied, Attempt):
        return applied, None
    relay = relay_of(applied, first, second, min_in_sync)
    if relay is not None:
        name, call = relay
        (reply,) = yield Ask([relay])
        behind = Attempt(applied.view, name, call.disk, None)
        if type(reply) is Relayed:
            return Done(applied.record), (
                yield from _relayed(second, behind, reply.then, deadline_s, min_in_sync, rules)
            )
        if type(reply) is Silent:
            return (yield from _silent(first, applied, second, behind, deadline_s, rules))
    stored = yield from replicate(first, applied, deadline_s, rules)
    if type(stored) is not Done:
        return stored, None
    return stored, (yield from write(second, deadline_s, min_in_sync=min_in_sync, rules=rules))


def relay_of(applied: Attempt, first: Write, second: Write, min_in_sync: int) -> tuple[str, Relay] | None:
    """The call that stores the first and applies the second, and for whom. None: no replica can do both."""
    view = applied.view
    members, others = view.members(first.slot), view.members(second.slot)
    if len(members) != 2 or members[1] != others[0] or len(others) < min_in_sync or view.absent(first.slot):
        return None
    name, disk = members[1]
    assert applied.record is not None, "the primary has said what it applied"
    call = Relay(
        view.cluster, view.epoch, disk, first.slot, first.key, applied.record, second.call(view, disk)
    )
    return name, call


def _relayed(
    second: Write,
    behind: Attempt,
    then: Applied | Mismatch,
    deadline_s: float,
    min_in_sync: int,
    rules: Rules,
) -> Steps[Resolution]:
    view = behind.view
    if type(then) is Applied:
        attempt = Attempt(view, behind.primary, behind.disk, then.record)
        return (yield from replicate(second, attempt, deadline_s, rules))
    members = view.members(second.slot)
    result = yield from not_applied(view, second, members, then, deadline_s, rules)
    if result is not None:
        return result
    return (yield from write(second, deadline_s, min_in_sync=min_in_sync, rules=rules))


def _silent(
    first: Write, applied: Attempt, second: Write, behind: Attempt, deadline_s: float, rules: Rules
) -> Steps[PairResolution]:
    """The call may have been carried out, or may yet be: FINISH for both, as after an apply without an answer."""
    member = behind.primary, behind.disk
    stored = yield from not_replicated(first, applied, [(member, Silent())], deadline_s, rules)
    if type(stored) is not Done:
        return stored, Unknown("it was sent behind a write of which nothing is known")
    return stored, (yield from finish(second, behind, deadline_s, rules))
