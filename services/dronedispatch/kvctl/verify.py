"""kvctl verify: whether the in-sync replicas of every slot hold the same."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import defaultdict

from rich.progress import Progress

from dronedispatch.kv.slots import SLOTS
from dronedispatch.kv.version import Version
from dronedispatch.kvctl.session import CannotDo, Session
from dronedispatch.replication.calls import Compare, Compared, Locate, Located
from dronedispatch.replication.view import View

PAGE = 2_000
LOOKS = 3
"""A write under way makes two replicas differ for a moment: a slot is reported only if it still does at the last look."""
PAUSE_S = 0.3


async def verify(session: Session, parsed: argparse.Namespace) -> int:
    """0: equal. 3: they differ; the keys are printed, and with --repair read through a coordinator, which repairs them."""
    differing = list(range(SLOTS))
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(PAUSE_S)
        view = await session.needed_view()
        differing = await _differing(session, view, differing)
        if not differing:
            copies = sum(len(view.members(slot)) for slot in range(SLOTS))
            sys.stdout.write(f"all replicas agree: {SLOTS} slots, {copies} copies, epoch {view.epoch}\n")
            return 0
    keys: dict[str, list[str]] = {}
    with Progress(transient=True) as progress:
        for slot in progress.track(differing, description="comparing keys"):
            keys |= await _differences(session, view, slot)
    for key, said in sorted(keys.items()):
        sys.stdout.write(f"{key}: {'; '.join(said)}\n")
    if parsed.repair:
        kv = await session.store()
        for key in sorted(keys):
            await kv.get(key)
        sys.stdout.write(f"read {len(keys)} keys through a coordinator\n")
    sys.stderr.write(f"{len(keys)} keys in {len(differing)} slots differ\n")
    return 3


async def _differing(session: Session, view: View, slots: list[int]) -> list[int]:
    """Those of `slots` for which the digests of the members are not all equal."""
    asked: dict[tuple[str, str], list[int]] = defaultdict(list)
    for slot in slots:
        for member in view.members(slot):
            asked[member].append(slot)
    digests: dict[int, set[bytes]] = defaultdict(set)
    for (name, disk), held in asked.items():
        call = Locate(view.cluster, view.epoch, disk, held[0], tuple(held))
        (reply,) = await session.ask(view.replicas[name].url, [call])
        if not isinstance(reply, Located):
            raise CannotDo(f"{name} answers {type(reply).__name__} instead of its digests")
        for slot, digest in zip(held, reply.digests, strict=True):
            digests[slot].add(digest)
    return [slot for slot in slots if len(digests[slot]) > 1]


async def _differences(session: Session, view: View, slot: int) -> dict[str, list[str]]:
    """Key -> what each member says of it, where they do not say the same."""
    members = view.members(slot)
    held = [await _versions(session, view, slot, name, disk) for name, disk in members]
    found = {}
    for key in {key for versions in held for key in versions}:
        said = [versions.get(key) for versions in held]
        if len(set(said)) > 1:
            found[key] = [
                f"{name} {version or 'absent'}" for (name, _), version in zip(members, said, strict=True)
            ]
    return found


async def _versions(session: Session, view: View, slot: int, name: str, disk: str) -> dict[str, Version]:
    found: dict[str, Version] = {}
    after: str | None = None
    while True:
        call = Compare(view.cluster, view.epoch, disk, slot, after, PAGE)
        (reply,) = await session.ask(view.replicas[name].url, [call])
        if not isinstance(reply, Compared):
            raise CannotDo(f"{name} answers {type(reply).__name__} instead of its keys")
        found |= dict(reply.entries)
        if not reply.more:
            return found
        after = reply.entries[-1][0]
