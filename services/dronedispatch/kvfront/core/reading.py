"""READ: ask every member, answer the newest, and let nobody see it before every member has it (blocking
read-repair).
"""

from __future__ import annotations

from collections.abc import Sequence

from dronedispatch.kvfront.core.resolution import Done, NotApplied, ReadResolution, agreed, all_stored, newest
from dronedispatch.kvfront.core.view_change import DISK_FULL, NOT_BOOTSTRAPPED, amend
from dronedispatch.replication.calls import AnyReply, Read, Replicate, Stored
from dronedispatch.replication.effects import CACHED, NOW, Ask, Note, Steps
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import View


def read(key: str, slot: int, deadline_s: float, rules: Rules = ALL) -> Steps[ReadResolution]:
    """The newest record of `key`; one round trip when all members agree. Tries again until `deadline_s` (monotonic)."""
    while True:
        view: View | None = yield CACHED
        if view is None:
            return NotApplied(NOT_BOOTSTRAPPED)
        asked = members = view.members(slot)
        if not rules.read_asks_all:
            asked = members[-1:]
        if not rules.read_not_primary_only:
            asked = members[:1]
        cluster, epoch = view.cluster, view.epoch
        replies = yield Ask([(name, Read(cluster, epoch, disk, slot, key)) for name, disk in asked])
        same = agreed(replies)
        if same is not None:
            return Done(same.record)
        result = yield from settle_read(view, key, slot, asked, replies, rules)
        if result is not None:
            return result
        if (yield NOW) >= deadline_s:
            return NotApplied("the replicas did not agree in time")


def settle_read(
    view: View,
    key: str,
    slot: int,
    asked: Sequence[tuple[str, str]],
    replies: Sequence[AnyReply],
    rules: Rules = ALL,
) -> Steps[ReadResolution | None]:
    """The rest of a READ whose members did not all say the same in `replies`. None: begin again, maybe in a newer view.

    What only a follower has (a write cut short when its primary was voted out) must get into the primary's
    sequence before anybody sees it. If the primary has applied a newer write meanwhile, that one's condition was
    judged without it: it was too late.
    """
    found = newest(replies)
    if found is not None:
        record, lagging = found
        if record is None or not rules.read_written_back:
            return Done(record)
        yield Note("read_repair", count=len(lagging))
        asked = [asked[place] for place in lagging]
        replies = yield Ask(
            [(name, Replicate(view.cluster, view.epoch, disk, slot, key, record)) for name, disk in asked]
        )
        if all_stored(replies):
            primary = replies[0] if lagging[0] == 0 else None
            if isinstance(primary, Stored) and primary.newer:
                return None
            return Done(record)
    why = yield from amend(view, slot, asked, replies, rules)
    if why is not None:
        return NotApplied(why, 507 if why == DISK_FULL else 503)
    return None
