"""A client that comes back misses no event, or is told that it did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from dronedispatch.gateway.core.parameters import parameters
from dronedispatch.gateway.core.refusal import BadParameter
from dronedispatch.gateway.core.ring import EventId, Ring, parse_event_id
from dronedispatch.gateway.core.stream import (
    DELIVERY,
    TOPICS,
    Board,
    EventParameters,
    Reader,
    frame,
    parse_topics,
)


def filled(ids: list[tuple[int, int]], size: int = 100) -> Board:
    board = Board(size)
    for term, seq in ids:
        board.ring.append(EventId(term, seq), DELIVERY, f'"{term}-{seq}"'.encode())
    return board


def seen(piece: bytes) -> list[str]:
    return [line.removeprefix("id: ") for line in piece.decode().splitlines() if line.startswith("id: ")]


def is_reset(piece: bytes) -> bool:
    return piece.startswith(b"event: reset\n")


def first_of(board: Board, last: str) -> bytes:
    """What a client gets that comes back with `last`."""
    return Reader(board, {DELIVERY}, last).next_bytes(0.0)


def test_a_repeated_event_is_dropped() -> None:
    ring = Ring(10)
    assert ring.append(EventId(1, 1), DELIVERY, b"a")
    assert not ring.append(EventId(1, 1), DELIVERY, b"a")
    assert ring.place == 1


def test_ids_are_written_and_read_back_and_nonsense_is_none() -> None:
    assert parse_event_id(str(EventId(12, 7))) == EventId(12, 7)
    for text in ("", "1", "1-", "-1", "1-2-3", "a-b", "1" * 30 + "-1"):
        assert parse_event_id(text) is None


def test_without_a_last_event_id_only_what_comes_is_shown() -> None:
    board = filled([(1, 1), (1, 2)])
    reader = Reader(board, {DELIVERY}, None)
    assert reader.next_bytes(0.0) == b""
    board.ring.append(EventId(1, 3), DELIVERY, b"3")
    assert seen(reader.next_bytes(0.0)) == ["1-3"]
    assert reader.next_bytes(0.0) == b""


def test_the_first_beat_gives_an_id_to_come_back_with_and_so_does_the_first_after_a_reset() -> None:
    board = filled([(1, 1), (1, 2)])
    reader = Reader(board, {DELIVERY}, None)
    reader.next_bytes(0.0)
    assert [seen(reader.beat(0.0)) for _ in range(2)] == [["1-2"], []]
    board.ring.gap()
    assert is_reset(reader.next_bytes(0.0))
    assert [seen(reader.beat(0.0)) for _ in range(2)] == [["1-2"], []]


@pytest.mark.parametrize("there", [[], [(1, 1)]], ids=["an empty ring", "a ring with events"])
def test_who_was_cut_off_before_the_first_event_is_told_what_he_missed_at_any_gateway(
    there: list[tuple[int, int]],
) -> None:
    reader = Reader(filled([]), {DELIVERY}, None)
    reader.next_bytes(0.0)
    (known,) = seen(reader.beat(0.0))
    assert is_reset(first_of(filled(there), known))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 80))
def test_who_comes_back_misses_nothing_or_is_told(events: int, last: int, size: int) -> None:
    board = filled([(1, seq) for seq in range(1, events + 1)], size)
    piece = first_of(board, f"1-{last}")
    missed = [f"1-{seq}" for seq in range(last + 1, events + 1)]
    assert seen(piece) == missed or is_reset(piece)
    assert seen(piece) == missed or len(missed) > size or last < events - size


def test_a_gap_of_exactly_nothing_is_resumed_even_if_the_last_event_itself_is_gone() -> None:
    board = filled([(1, 5), (1, 6)])
    assert seen(first_of(board, "1-4")) == ["1-5", "1-6"]
    assert is_reset(first_of(board, "1-3"))


def test_a_new_leaders_events_follow_the_old_ones() -> None:
    board = filled([(1, 8), (1, 9), (4, 1), (4, 2)])
    assert seen(first_of(board, "1-9")) == ["4-1", "4-2"]


def test_a_gateway_that_is_behind_sends_the_rest_as_it_comes() -> None:
    board = filled([(1, 1), (1, 2)])
    reader = Reader(board, {DELIVERY}, "1-3")
    assert reader.next_bytes(0.0) == b""
    board.ring.append(EventId(1, 4), DELIVERY, b"4")
    assert seen(reader.next_bytes(0.0)) == ["1-4"]


@pytest.mark.parametrize("last", ["999-999", "1-1000000", "2-1"])
def test_an_id_that_nobody_can_have_told_is_answered_by_a_reset(last: str) -> None:
    assert is_reset(first_of(filled([(1, 1), (1, 2)]), last))


def test_a_gateway_that_has_heard_nothing_yet_sends_a_reset() -> None:
    assert is_reset(first_of(Board(10), "1-3"))


def test_a_late_event_is_delivered_late_and_replayed_to_who_left_before() -> None:
    board = filled([(1, 1), (1, 3), (1, 2)])
    assert seen(first_of(board, "1-3")) == ["1-2"]


def test_a_reader_that_is_overtaken_is_told_once() -> None:
    board = filled([], size=3)
    reader = Reader(board, {DELIVERY}, None)
    for seq in range(1, 9):
        board.ring.append(EventId(1, seq), DELIVERY, b"x")
    assert is_reset(reader.next_bytes(0.0))
    assert reader.next_bytes(0.0) == b""


def test_over_a_gap_nobody_is_resumed_and_whoever_is_here_is_told_once() -> None:
    board = filled([(1, 1), (1, 2)])
    here = Reader(board, {DELIVERY}, None)
    board.ring.gap()
    assert is_reset(here.next_bytes(0.0))
    assert here.next_bytes(0.0) == b""
    assert Reader(board, {DELIVERY}, None).next_bytes(0.0) == b""
    board.ring.append(EventId(1, 7), DELIVERY, b"7")
    assert seen(here.next_bytes(0.0)) == ["1-7"]
    for last in ("1-1", "1-2", "1-3", "1-5"):
        assert is_reset(first_of(board, last))
    for last, missed in (("1-6", ["1-7"]), ("1-7", []), ("1-8", [])):
        assert seen(first_of(board, last)) == missed


def test_what_is_told_again_after_a_gap_is_dropped() -> None:
    board = filled([(1, 1)])
    board.ring.gap()
    assert not board.ring.append(EventId(1, 1), DELIVERY, b"1")


def test_only_the_wanted_topics_come() -> None:
    board = filled([(1, 1)])
    reader = Reader(board, parse_topics("figures"), "1-0")
    board.show_figures(b"{}")
    assert reader.next_bytes(0.0) == frame("figures", b"{}")
    assert parse_topics(UNSET) == set(TOPICS)
    with pytest.raises(BadParameter):
        parameters(EventParameters, {"topics": ["figures,weather"]})
