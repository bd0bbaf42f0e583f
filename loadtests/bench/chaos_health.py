"""What the health page says beside what is true, and the longest time without a 201, by kind of fault. The sums are pure."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
from loadtests.bench.running import Running

from dronedispatch.runtime.http.errors import HttpError

QUIET_S = 60.0
"""So long after the last fault nothing is wrong any more, and the page should say so."""


@dataclass(frozen=True, slots=True)
class Spell:
    """One fault: what, whom, and from when to when (monotonic seconds)."""

    kind: str
    name: str
    began_s: float
    ended_s: float


@dataclass
class Page:
    """Looks at the door's health page; `looks`: (when, word, kinds of its reasons)."""

    looks: list[tuple[float, str, tuple[str, ...]]] = field(default_factory=list)

    async def watch(self, running: Running) -> None:
        """Every two seconds, until cancelled."""
        while True:
            at_s = time.monotonic()
            word = "no answer"
            kinds: tuple[str, ...] = ()
            try:
                answer = await running.ask("GET", "/health", timeout_s=2.0)
                document = msgspec.json.decode(answer.body, type=dict[str, object])
                reasons = document.get("reasons")
                word = str(document.get("health", f"status {answer.status}"))
                kinds = tuple(str(one["kind"]) for one in reasons) if isinstance(reasons, list) else ()
            except (HttpError, msgspec.DecodeError, KeyError, TypeError):
                pass
            self.looks.append((at_s, word, kinds))
            await asyncio.sleep(2.0)


def longest_gaps(answered_s: Iterable[float], spells: Sequence[Spell]) -> dict[str, float]:
    """Kind of fault -> the longest time without a 201 that ended after such a fault had begun, and before the next one."""
    longest: dict[str, float] = {}
    times = sorted(answered_s)
    for before_s, after_s in pairwise(times):
        begun = [spell for spell in spells if spell.began_s < after_s]
        if begun:
            kind = max(begun, key=lambda spell: spell.began_s).kind
            longest[kind] = max(longest.get(kind, 0.0), after_s - before_s)
    return longest


def said_beside_truth(
    looks: Iterable[tuple[float, str, tuple[str, ...]]], spells: Sequence[Spell]
) -> dict[str, Counter[str]]:
    """What was true ("a kind of fault", "quiet": nothing for a minute, "after": less) -> how often the page said what."""
    said: dict[str, Counter[str]] = {}
    for at_s, word, kinds in looks:
        true = [spell.kind for spell in spells if spell.began_s <= at_s <= spell.ended_s]
        if not true:
            recent = any(spell.ended_s <= at_s < spell.ended_s + QUIET_S for spell in spells)
            true = ["after a fault" if recent else "quiet"]
        words = f"{word} ({', '.join(sorted(set(kinds)))})" if kinds else word
        for kind in true:
            said.setdefault(kind, Counter())[words] += 1
    return said
