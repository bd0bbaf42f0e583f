"""The sweep: tombstones (of deletes and of released locks) are purged under one new epoch for all of a sweep.

Every member first promises to refuse older epochs and reports the same tombstone; only then is it removed. So no
replicate that is still under way can bring an older record back, and a key that is written again starts in a later
epoch than its tombstone had.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.replication import view as views
from dronedispatch.replication.calls import AnyCall, Found, Prepare, Promised, Purge, Read, Scan, Scanned
from dronedispatch.replication.effects import NONCE, READ_VIEW, Ask, Note, Steps, Swap, SwapView, ViewAt
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import View


class Swept(msgspec.Struct, frozen=True):
    """`purged` tombstones were removed; `more`: there were more than the limit."""

    purged: int
    more: bool


Reports = Mapping[str, list[Version | None]]


def sweep(limit: int, rules: Rules = ALL) -> Steps[Swept | str]:
    """Purge up to `limit` tombstones a primary. Returns Swept, or the reason why nothing was purged (safe to try
    again later).
    """
    at: ViewAt | None = yield READ_VIEW
    if at is None or at.view is None:
        return "there is no view to be had"
    view = at.view
    groups: dict[tuple[str, str], list[int]] = {}
    for slot in range(len(view.slots)):
        groups.setdefault(view.members(slot)[0], []).append(slot)
    replies = yield Ask([(name, _scan(view, disk, slots, limit)) for (name, disk), slots in groups.items()])
    pages = [reply for reply in replies if isinstance(reply, Scanned)]
    keys = [key for page in pages for key, _, _ in page.entries]
    more = any(page.more for page in pages)
    if not keys:
        return Swept(0, more)
    if not rules.purge_under_fence:
        dead = _agreed(view, (yield from _read_all(view, keys)))
        return Swept((yield from _purge(view, dead)), more)
    reports = yield from _promise(view, keys)
    by: str = yield NONCE
    after = views.bumped(view, by)
    swap = yield SwapView(after, at.index)
    if swap is not Swap.DONE:
        return f"the view could not be changed: {swap.value}"
    yield Note("fenced")
    if reports is None:
        return "not every replica promised"
    purged = yield from _purge(after, _agreed(view, reports))
    yield Note("purged", count=purged)
    return Swept(purged, more)


def _scan(view: View, disk: str, slots: list[int], limit: int) -> AnyCall:
    return Scan(view.cluster, view.epoch, disk, slots[0], tuple(slots), None, None, None, limit, dead=True)


def _holders(view: View, keys: list[str]) -> dict[tuple[str, str], list[str]]:
    holders: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        for member in view.members(slot_of(key)):
            holders.setdefault(member, []).append(key)
    return holders


def _promise(view: View, keys: list[str]) -> Steps[Reports | None]:
    """What each member says of each key after its promise. None: some member did not promise."""
    holders = _holders(view, keys)
    calls: list[tuple[str, AnyCall]] = []
    for (name, disk), held in holders.items():
        slots = tuple(sorted({slot_of(key) for key in held}))
        call = Prepare(view.cluster, view.epoch, disk, slots[0], view.epoch + 1, slots, "", 0, 0, tuple(held))
        calls.append((name, call))
    replies = yield Ask(calls)
    reports: dict[str, list[Version | None]] = {key: [] for key in keys}
    for held, reply in zip(holders.values(), replies, strict=True):
        if not isinstance(reply, Promised):
            return None
        for key, version in zip(held, reply.versions, strict=True):
            reports[key].append(version)
    return reports


def _agreed(view: View, reports: Reports) -> dict[str, Version]:
    """The keys of which every member has the same tombstone, of an epoch before the coming one."""
    dead: dict[str, Version] = {}
    for key, versions in reports.items():
        first = versions[0]
        if first is not None and first.epoch <= view.epoch and all(version == first for version in versions):
            dead[key] = first
    return dead


def _purge(view: View, dead: dict[str, Version]) -> Steps[int]:
    calls: list[tuple[str, AnyCall]] = []
    for (name, disk), held in _holders(view, list(dead)).items():
        calls.extend(
            (name, Purge(view.cluster, view.epoch, disk, slot_of(key), key, dead[key])) for key in held
        )
    if calls:
        yield Ask(calls)
    return len(dead)


def _read_all(view: View, keys: list[str]) -> Steps[Reports]:
    """What rule 15 forbids to rely on; run by the simulation alone."""
    asked = [(key, name, disk) for key in keys for name, disk in view.members(slot_of(key))]
    replies = yield Ask(
        [(name, Read(view.cluster, view.epoch, disk, slot_of(key), key)) for key, name, disk in asked]
    )
    reports: dict[str, list[Version | None]] = {key: [] for key in keys}
    for (key, _, _), reply in zip(asked, replies, strict=True):
        record = reply.record if isinstance(reply, Found) else None
        reports[key].append(record.version if record is not None and record.tombstone else None)
    return reports
