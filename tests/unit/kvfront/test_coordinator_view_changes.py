"""REFRESH and VOTE_OUT, question by question."""

from __future__ import annotations

from typing import Any

import pytest

from dronedispatch.kvfront.core.view_change import (
    DISK_FULL,
    NOT_BOOTSTRAPPED,
    PINGS_MAX,
    RESTORED,
    outdate,
    refresh,
    vote_out,
)
from dronedispatch.replication import view as views
from dronedispatch.replication.calls import DAMAGED, NO_SPACE, NOT_SENT, SILENT, AnyReply, WrongDisk
from dronedispatch.replication.effects import (
    AwaitView,
    Nonce,
    Note,
    Now,
    Ping,
    Pulse,
    ReadView,
    RollCall,
    SecondOpinion,
    Sleep,
    Swap,
    SwapView,
    ViewAt,
)
from dronedispatch.replication.view import Replica, View
from dronedispatch.testing.steps import run_steps

Answers = list[tuple[type, Any]]


def view(epoch: int = 3) -> View:
    replicas = {name: Replica(f"http://{name}", f"{name}1") for name in ("A", "B")}
    first = views.bootstrap("c", replicas, 2, [("A", "B"), ("A",)], "x")
    return first if epoch == 1 else views.bumped(first, "x", epoch)


READ: tuple[type, Any] = (ReadView, ViewAt(view(3), 8))
ME: tuple[type, Any] = (Nonce, "me")
PAUSE: tuple[type, Any] = (Sleep, None)
CHANGED: Answers = [READ, ME, (SwapView, Swap.DONE)]
UNHEARD: Answers = [(Ping, Pulse.SILENT), (SecondOpinion, False)]


def voted(
    suspected: AnyReply, *answers: tuple[type, Any], slot: int = 0, on: View | None = None
) -> tuple[Any, list[Any]]:
    """A vote against A, by who has view 3 unless told otherwise: its result, and what was asked for."""
    return run_steps(vote_out(on or view(3), slot, {"A": ("A1", suspected)}), answers)


def swapped(made: list[Any]) -> View:
    (swap,) = (request for request in made if isinstance(request, SwapView))
    assert isinstance(swap.view, View)
    return swap.view


def notes(made: list[Any]) -> list[str]:
    return [request.event for request in made if isinstance(request, Note)]


def test_a_refresh_that_finds_the_epoch_is_done_after_one_read() -> None:
    result, _ = run_steps(refresh(5, 4), [(ReadView, ViewAt(view(5), 9))])
    assert result is None


def test_a_refresh_waits_for_a_joiner_before_it_takes_the_epoch() -> None:
    answers: Answers = [READ, (AwaitView, None), (ReadView, ViewAt(view(4), 9))]
    assert run_steps(refresh(4, 3), answers)[0] is None


def test_a_refresh_takes_the_epoch_of_a_joiner_that_died_for_the_same_sets() -> None:
    result, made = run_steps(refresh(7, 3), [READ, (AwaitView, None), *CHANGED])
    assert result is None
    assert (swapped(made).epoch, swapped(made).by, swapped(made).slots) == (7, "me", view(3).slots)
    assert "bumped" in notes(made)


@pytest.mark.parametrize(
    ("at", "reason"), [(ViewAt(None, 0), NOT_BOOTSTRAPPED), (ViewAt(view(3), 8), RESTORED)]
)
def test_a_refresh_refuses_a_view_that_is_missing_or_older_than_one_in_use(at: ViewAt, reason: str) -> None:
    assert run_steps(refresh(9, 5), [(ReadView, at), PAUSE])[0] == reason


def test_a_refresh_without_consul_pauses_and_lets_the_operation_try_again() -> None:
    assert run_steps(refresh(9, 5), [(ReadView, None), PAUSE])[0] is None


def roll(a: Pulse, b: Pulse = Pulse.ALIVE) -> tuple[type, Any]:
    return RollCall, {"A": a, "B": b}


def test_a_silent_replica_is_voted_out_after_two_failed_pings_and_a_second_opinion() -> None:
    result, made = voted(SILENT, roll(Pulse.SILENT), *UNHEARD, *CHANGED)
    assert result is None
    assert swapped(made).members(0) == (("B", "B1"),)
    assert swapped(made).members(1) == (("A", "A1"),)
    assert notes(made) == ["voted_out"]


def test_a_refused_connection_twice_needs_no_opinion() -> None:
    assert voted(NOT_SENT, roll(Pulse.REFUSED), *CHANGED)[0] is None


def test_a_connection_that_was_refused_once_is_tried_again() -> None:
    result, made = voted(SILENT, roll(Pulse.REFUSED), (Ping, Pulse.ALIVE), PAUSE)
    assert result is None
    assert not any(isinstance(request, SwapView) for request in made)


@pytest.mark.parametrize("reply", [WrongDisk("c", "A2"), NO_SPACE])
def test_a_replica_that_says_itself_that_it_cannot_is_not_probed(reply: AnyReply) -> None:
    assert voted(reply, *CHANGED)[0] is None


def test_a_replica_with_a_damaged_record_leaves_that_slot_alone() -> None:
    both = views.reassigned(view(3), {1: ("B", "A")}, "y")
    joined = views.joined(both, "B", "B1", {1}, "z")
    result, made = voted(DAMAGED, (ReadView, ViewAt(joined, 8)), ME, (SwapView, Swap.DONE), slot=1, on=joined)
    assert result is None
    assert swapped(made).members(0) == (("A", "A1"), ("B", "B1"))
    assert swapped(made).members(1) == (("B", "B1"),)


def test_a_replica_that_answers_a_ping_stays() -> None:
    result, made = voted(SILENT, roll(Pulse.SILENT), (Ping, Pulse.ALIVE), PAUSE)
    assert result is None
    assert not any(isinstance(request, SwapView) for request in made)


def test_nobody_is_voted_out_whom_another_coordinator_reaches() -> None:
    result, made = voted(SILENT, roll(Pulse.SILENT), (Ping, Pulse.SILENT), (SecondOpinion, True))
    assert result == "another coordinator reaches A, this one does not"
    assert notes(made) == ["peer_disagrees"]


def test_with_nobody_to_ask_a_coordinator_decides_alone() -> None:
    assert voted(SILENT, roll(Pulse.SILENT), (Ping, Pulse.SILENT), (SecondOpinion, None), *CHANGED)[0] is None


def test_silence_takes_no_copy_where_nobody_else_answers() -> None:
    result, made = voted(SILENT, roll(Pulse.SILENT, Pulse.SILENT), *UNHEARD, READ, ME, PAUSE)
    assert result is None
    assert notes(made) == ["last_member"]


def test_whom_nobody_listens_for_any_more_is_voted_out_whoever_else_answers() -> None:
    result, made = voted(NOT_SENT, roll(Pulse.REFUSED, Pulse.SILENT), *CHANGED)
    assert result is None
    assert swapped(made).members(0) == (("B", "B1"),)


def test_a_ping_of_which_the_asker_is_not_sure_is_asked_again_and_does_not_count() -> None:
    assert (
        voted(SILENT, roll(Pulse.SILENT), *[(Ping, Pulse.UNSURE)] * 2, (Ping, Pulse.ALIVE), PAUSE)[0] is None
    )


def test_who_is_never_sure_judges_nobody() -> None:
    result, made = voted(SILENT, roll(Pulse.UNSURE), *[(Ping, Pulse.UNSURE)] * (PINGS_MAX - 1), PAUSE)
    assert result is None
    assert notes(made) == ["unsure"]


def test_a_lost_race_is_read_again_and_what_others_have_voted_is_not_voted_twice() -> None:
    done = views.vote_out(view(3), {"A": "A1"}, "other", seen=3)
    assert (
        voted(NO_SPACE, READ, ME, (SwapView, Swap.LOST), (ReadView, ViewAt(done, 9)), (Nonce, "me2"))[0]
        is None
    )


def test_a_put_of_unknown_outcome_is_recognised_by_its_nonce() -> None:
    mine = views.vote_out(view(3), {"A": "A1"}, "me", seen=3)
    assert voted(NO_SPACE, READ, ME, (SwapView, Swap.UNKNOWN), (ReadView, ViewAt(mine, 9)))[0] is None


ALONE = views.bootstrap("c", {"A": Replica("http://A", "A1")}, 1, [("A",)], "x")


def test_the_last_member_is_never_voted_out() -> None:
    result, made = voted(WrongDisk("c", "A2"), (ReadView, ViewAt(ALONE, 8)), ME, PAUSE, on=ALONE)
    assert result is None
    assert notes(made) == ["last_member"]


def test_a_full_disk_of_the_last_member_is_the_answer() -> None:
    assert voted(NO_SPACE, (ReadView, ViewAt(ALONE, 8)), ME, on=ALONE)[0] == DISK_FULL


def test_a_vote_against_a_view_older_than_ones_own_is_refused() -> None:
    assert voted(NO_SPACE, (ReadView, ViewAt(view(1), 8)), PAUSE)[0] == RESTORED


def test_an_epoch_is_outdated_by_the_same_sets_unless_somebody_has_done_it() -> None:
    done, made = run_steps(outdate(3, 10.0), CHANGED)
    assert done
    assert swapped(made).epoch == 4
    assert run_steps(outdate(3, 10.0), [(ReadView, ViewAt(view(4), 8))])[0]


def test_an_epoch_that_cannot_be_outdated_in_time_is_said_to_be_not() -> None:
    answers: Answers = [(ReadView, None), (Now, 9.0), PAUSE, (ReadView, None), (Now, 10.0)]
    assert not run_steps(outdate(3, 10.0), answers)[0]
