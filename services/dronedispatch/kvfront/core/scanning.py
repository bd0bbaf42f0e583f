"""A page of a scan: every member of every slot lists its keys, and where two lists differ a READ decides.

Each item is as good as a READ of its key at some moment of the scan; the page as a whole is no snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.core.reading import read, settle_read
from dronedispatch.kvfront.core.resolution import NotApplied, ReadResolution, agreed
from dronedispatch.kvfront.core.view_change import NOT_BOOTSTRAPPED, amend
from dronedispatch.replication.calls import AnyCall, AnyReply, Read, Scan, Scanned
from dronedispatch.replication.effects import CACHED, NOW, Ask, Note, Steps
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import View


class Query(msgspec.Struct, frozen=True):
    """Keys with `prefix` and `tag` (None: any), after `after` in key order (before it, if `reverse`); at most
    `limit` of them.
    """

    prefix: str | None = None
    tag: str | None = None
    after: str | None = None
    limit: int = 500
    reverse: bool = False


class Listing(msgspec.Struct, frozen=True):
    """Live records in scan order. `next_after` continues; None: this was the end. May hold fewer than the limit
    before the end.
    """

    items: tuple[tuple[str, Record], ...]
    next_after: str | None


class _Seen(msgspec.Struct):
    """What the members of a key's slot say of it."""

    versions: list[Version]
    record: Record | None = None


def scan(query: Query, deadline_s: float, rules: Rules = ALL) -> Steps[Listing | NotApplied]:
    """One page. Tries again until `deadline_s` (monotonic)."""
    while True:
        view: View | None = yield CACHED
        if view is None:
            return NotApplied(NOT_BOOTSTRAPPED)
        asked, calls = _calls(view, query)
        replies: list[AnyReply] = yield Ask(calls)
        if all(isinstance(reply, Scanned) for reply in replies):
            pages = [reply for reply in replies if isinstance(reply, Scanned)]
            return (yield from _merge(view, query, pages, deadline_s, rules))
        why = yield from amend(view, 0, asked, replies, rules)
        if why is not None:
            return NotApplied(why)
        if (yield NOW) >= deadline_s:
            return NotApplied("the replicas did not list their keys in time")


def _calls(view: View, query: Query) -> tuple[list[tuple[str, str]], list[tuple[str, AnyCall]]]:
    """For each member a call for the slots that it leads, with records, and one for the others, with versions only."""
    groups: dict[tuple[str, str, bool], list[int]] = {}
    for slot in range(len(view.slots)):
        for place, (name, disk) in enumerate(view.members(slot)):
            groups.setdefault((name, disk, place == 0), []).append(slot)
    asked = [(name, disk) for name, disk, _ in groups]
    calls: list[tuple[str, AnyCall]] = [
        (
            name,
            Scan(
                view.cluster,
                view.epoch,
                disk,
                slots[0],
                tuple(slots),
                query.prefix,
                query.tag,
                query.after,
                query.limit,
                query.reverse,
                full,
            ),
        )
        for (name, disk, full), slots in groups.items()
    ]
    return asked, calls


def _merge(
    view: View, query: Query, pages: Sequence[Scanned], deadline_s: float, rules: Rules
) -> Steps[Listing | NotApplied]:
    seen: dict[str, _Seen] = {}
    for page in pages:
        for key, version, record in page.entries:
            entry = seen.setdefault(key, _Seen([]))
            entry.versions.append(version)
            if record is not None:
                entry.record = record
    ends = [page.entries[-1][0] for page in pages if page.more]
    end = (max(ends) if query.reverse else min(ends)) if ends else None
    keys = sorted(seen, reverse=query.reverse)
    if end is not None:
        keys = [key for key in keys if (key >= end if query.reverse else key <= end)]
    cut = len(keys) > query.limit
    keys = keys[: query.limit]
    doubtful = [key for key in keys if not _certain(view, key, seen[key])]
    settled = yield from _settle(view, doubtful, deadline_s, rules)
    if isinstance(settled, NotApplied):
        return settled
    items = []
    for key in keys:
        record = settled[key] if key in settled else seen[key].record
        if record is not None and not record.tombstone and (query.tag is None or query.tag in record.tags):
            items.append((key, record))
    more = bool(keys) and (cut or end is not None)
    return Listing(tuple(items), keys[-1] if more else None)


def _certain(view: View, key: str, entry: _Seen) -> bool:
    """Every member of the key's slot lists it in the same version, the primary with its record."""
    return (
        entry.record is not None
        and len(entry.versions) == len(view.members(slot_of(key)))
        and all(version == entry.versions[0] for version in entry.versions)
    )


def _settle(
    view: View, keys: Sequence[str], deadline_s: float, rules: Rules
) -> Steps[dict[str, Record | None] | NotApplied]:
    """READ each of `keys`: the first round trip for all of them together."""
    found: dict[str, Record | None] = {}
    if not keys:
        return found
    yield Note("scan_differs", count=len(keys))
    asked = [(key, name, disk) for key in keys for name, disk in view.members(slot_of(key))]
    replies = yield Ask(
        [(name, Read(view.cluster, view.epoch, disk, slot_of(key), key)) for key, name, disk in asked]
    )
    place = 0
    for key in keys:
        members = view.members(slot_of(key))
        mine = replies[place : place + len(members)]
        place += len(members)
        same = agreed(mine)
        if same is not None:
            found[key] = same.record
            continue
        result: ReadResolution | None = yield from settle_read(view, key, slot_of(key), members, mine, rules)
        if result is None:
            result = yield from read(key, slot_of(key), deadline_s, rules)
        if isinstance(result, NotApplied):
            return result
        found[key] = result.record
    return found
