"""kvctl says of each change of the view whether it happened, did not, or may have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from dronedispatch.kv.errors import OutcomeUnknown
from dronedispatch.kvctl import __main__ as kvctl
from dronedispatch.kvctl.session import CannotDo, Session, UnknownChange, opened
from dronedispatch.kvctl.settings import Settings
from dronedispatch.replication import view as views
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.view import Replica, View
from dronedispatch.runtime.consul import ConsulUnavailable, ConsulUnknown

pytestmark = pytest.mark.virtual_time


def a_view() -> View:
    replicas = {name: Replica(f"http://{name}:1", f"disk-{name}") for name in ("r1", "r2")}
    return views.bootstrap("c", replicas, 2, assignment(sorted(replicas), 2), "before")


OURS = views.bumped(a_view(), "ours")


@dataclass
class Consul:
    """Takes the view and says nothing (`takes`), or loses it on the way; then it may be `away`."""

    takes: bool
    away: bool = False
    unclear: int = 1
    stored: View = field(default_factory=a_view)
    index: int = 7

    async def kv_get(self, _key: str, **_options: object) -> tuple[int, bytes, int]:
        if self.away and not self.unclear:
            raise ConsulUnavailable("away")
        return self.index, views.encode(self.stored), self.index

    async def kv_put(self, _key: str, value: bytes, *, cas: int) -> bool:
        unclear, self.unclear = self.unclear > 0, max(0, self.unclear - 1)
        if cas == self.index and (self.takes or not unclear):
            self.stored, self.index = views.decode(value), self.index + 1
            if not unclear:
                return True
        if unclear:
            raise ConsulUnknown("no clear answer")
        return False


Asking = Callable[[Consul], Session]


@pytest.fixture
async def asking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asking]:
    """A session whose Consul this is."""
    async with opened(Settings()) as session:

        def of(consul: Consul) -> Session:
            monkeypatch.setattr(session.consul, "kv_get", consul.kv_get)
            monkeypatch.setattr(session.consul, "kv_put", consul.kv_put)
            return session

        yield of


async def test_a_change_without_a_clear_answer_is_done_where_it_is_read_back(asking: Asking) -> None:
    session = asking(Consul(takes=True))
    assert await session.put_view(OURS, 7)


@pytest.mark.parametrize("away", [True, False], ids=["Consul is away", "Consul has the view before"])
async def test_a_change_without_a_clear_answer_is_called_unknown_where_it_is_not_read_back(
    asking: Asking, away: bool
) -> None:
    session = asking(Consul(takes=False, away=away))
    with pytest.raises(UnknownChange, match=r"may have been changed.*kvctl view"):
        await session.put_view(OURS, 7)


async def test_a_change_without_a_clear_answer_is_not_done_where_its_epoch_has_been_taken(
    asking: Asking,
) -> None:
    consul = Consul(takes=False, stored=views.bumped(a_view(), "theirs"), index=8)
    session = asking(consul)
    assert not await session.put_view(OURS, 7)


async def test_a_lost_race_is_no_unknown_change(asking: Asking) -> None:
    session = asking(Consul(takes=True, unclear=0))
    assert not await session.put_view(OURS, 6)


async def test_a_change_that_may_have_happened_is_made_again_on_the_newest_view(asking: Asking) -> None:
    consul = Consul(takes=False)
    session = asking(consul)
    assert (await session.change_view(lambda now: views.bumped(now, "ours"))).by == "ours"
    assert consul.stored.by == "ours"


async def test_a_change_stays_unknown_when_consul_goes_away_after_it(asking: Asking) -> None:
    session = asking(Consul(takes=True, away=True))
    with pytest.raises(UnknownChange):
        await session.change_view(lambda now: views.bumped(now, "ours"))


async def test_a_consul_that_is_away_from_the_start_changes_nothing(asking: Asking) -> None:
    session = asking(Consul(takes=True, away=True, unclear=0))
    with pytest.raises(CannotDo, match="does not answer") as refused:
        await session.change_view(lambda now: views.bumped(now, "ours"))
    assert not isinstance(refused.value, UnknownChange)


def test_a_write_of_unknown_outcome_is_called_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def put(*_words: object) -> int:
        raise OutcomeUnknown("no answer within 2 s")

    monkeypatch.setattr(kvctl, "_run", put)
    assert kvctl.main(["put", "k", "v"]) == 4
    told = capsys.readouterr().err
    assert "may have been done (no answer within 2 s)" in told
    assert "kvctl get" in told


def test_a_view_of_unknown_outcome_has_the_exit_code_of_the_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drain(*_words: object) -> int:
        raise UnknownChange("the view may have been changed")

    monkeypatch.setattr(kvctl, "_run", drain)
    assert kvctl.main(["drain", "r1"]) == 4
