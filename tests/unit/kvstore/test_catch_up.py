"""The local steps of JOIN: what they change, and that without the mark they change nothing."""

from __future__ import annotations

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core import catch_up
from dronedispatch.kvstore.core.hold_down import hold_down_s
from dronedispatch.replication import view as views
from dronedispatch.replication.calls import Compared
from dronedispatch.replication.view import Replica, View
from dronedispatch.testing.simulation.engine import MemoryEngine

K1, K2, K3 = "key152", "key28", "key56"  # all of slot 0


def record(version: Version) -> Record:
    return Record(version, bytes(16), 1.0, False, None, (), b"")


def joiner(*held: tuple[str, Version]) -> MemoryEngine:
    engine = MemoryEngine("c", "B1")
    for key, version in held:
        engine.put(key, 0, record(version))
    catch_up.mark_joining(engine, {0}, 3)
    return engine


def view_of(*members: str, epoch: int = 4) -> View:
    replicas = {name: Replica(f"http://{name}", f"{name}1") for name in ("A", "B", "C")}
    return views.bumped(views.bootstrap("c", replicas, 2, [members], "x"), "y", epoch)


def versions(engine: MemoryEngine) -> dict[str, Version]:
    return dict(engine.versions(0, None, 100))


def test_marking_is_durable_with_the_floor_of_the_view() -> None:
    engine = joiner()
    assert (engine.joining(), engine.floor) == (frozenset({0}), 3)


def test_a_page_deletes_what_the_member_lacks_and_asks_for_what_differs() -> None:
    engine = joiner((K1, Version(9, 9)), (K2, Version(1, 1)), (K3, Version(1, 1)))
    page = Compared(((K2, Version(1, 1)), (K3, Version(1, 2))), more=False)
    assert catch_up.compare_page(engine, 0, None, page) == (K3,)
    assert set(versions(engine)) == {K2, K3}


def test_a_page_says_nothing_of_keys_beyond_its_end() -> None:
    engine = joiner((K1, Version(1, 1)), (K3, Version(1, 1)))
    page = Compared(((K1, Version(1, 1)),), more=True)
    assert catch_up.compare_page(engine, 0, None, page) == ()
    assert set(versions(engine)) == {K1, K3}


def test_a_copy_replaces_even_what_is_newer_here() -> None:
    engine = joiner((K1, Version(9, 9)))
    assert catch_up.copy_records(engine, [(K1, record(Version(1, 1)))])
    assert versions(engine) == {K1: Version(1, 1)}


def test_the_tail_takes_the_newer_and_removes_what_is_gone() -> None:
    engine = joiner((K1, Version(2, 2)), (K2, Version(1, 1)))
    assert catch_up.copy_tail(engine, [(K1, record(Version(2, 1))), (K2, None), (K3, record(Version(1, 1)))])
    assert versions(engine) == {K1: Version(2, 2), K3: Version(1, 1)}


def test_without_the_mark_no_late_page_touches_anything() -> None:
    engine = joiner((K1, Version(2, 2)))
    engine.set_joining(())
    page = Compared((), more=False)
    assert catch_up.compare_page(engine, 0, None, page) is None
    assert not catch_up.copy_records(engine, [(K1, None)])
    assert not catch_up.copy_tail(engine, [(K1, None)])
    assert catch_up.absorb_hints(engine, [(K1, record(Version(9, 9)))]) == 0
    assert versions(engine) == {K1: Version(2, 2)}


def test_hints_bring_only_what_is_newer() -> None:
    engine = joiner((K1, Version(2, 2)))
    hints = [(K1, record(Version(2, 1))), (K2, record(Version(1, 1)))]
    assert catch_up.absorb_hints(engine, hints) == 1
    assert versions(engine) == {K1: Version(2, 2), K2: Version(1, 1)}


def test_a_view_that_says_in_sync_clears_the_mark_and_one_below_the_floor_does_not() -> None:
    engine = joiner()
    assert catch_up.settle(engine, view_of("A", "B", epoch=2), "B") == {0}
    assert catch_up.settle(engine, view_of("A", epoch=5), "B") == {0}
    assert catch_up.settle(engine, view_of("A", "B", epoch=5), "B") == frozenset()


def test_a_view_that_knows_another_disk_of_this_replica_does_not_clear_the_mark() -> None:
    engine = MemoryEngine("c", "B2")
    catch_up.mark_joining(engine, {0}, 1)
    assert catch_up.settle(engine, view_of("A", "B"), "B") == {0}


def test_a_slot_that_has_moved_away_is_cleared_and_older_views_are_refused_from_then_on() -> None:
    engine = joiner((K1, Version(1, 1)))
    engine.set_joining(())
    assert catch_up.forget(engine, view_of("A", "C", epoch=7), "B", 0, 10) == 1
    assert versions(engine) == {}
    assert engine.floor == 7


def test_a_slot_that_is_held_marked_or_told_of_by_an_old_view_is_not_cleared() -> None:
    engine = joiner((K1, Version(1, 1)))
    assert catch_up.forget(engine, view_of("A", "C"), "B", 0, 10) == 0
    engine.set_joining(())
    assert catch_up.forget(engine, view_of("A", "B"), "B", 0, 10) == 0
    assert catch_up.forget(engine, view_of("A", "C", epoch=2), "B", 0, 10) == 0
    assert versions(engine) == {K1: Version(1, 1)}


def test_the_hold_down_doubles_up_to_a_minute() -> None:
    assert [hold_down_s(failures) for failures in (1, 2, 3, 7, 50)] == [1.0, 2.0, 4.0, 60.0, 60.0]
