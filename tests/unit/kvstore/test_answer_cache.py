from __future__ import annotations

import random

import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.cache import SIZE_STEP_BYTES, AnswerCache, answer_of


def record(value: bytes, n: int = 1) -> Record:
    return Record(Version(1, n), bytes(16), 0.0, False, None, (), value)


def test_bounds_in_items_and_bytes_are_never_exceeded_in_many_random_operations() -> None:
    rng = random.Random(7)
    cache = AnswerCache(items_max=60, bytes_max=80_000)
    keys = [f"key-{n}" for n in range(200)]
    records = [record(bytes(size)) for size in (0, 10, 300, 3_000, 40_000, 79_990, 200_000)]
    broken = 0
    for _ in range(60_000):
        key = keys[int(rng.random() * 200)]
        dice = rng.random()
        if dice < 0.5:
            cache.get(key)
        elif dice < 0.95:
            cache.put(key, records[int(dice * 1_000) % 7])
        else:
            cache.drop(key)
        broken += len(cache) > 60 or cache.bytes_now > 80_000
    assert broken == 0
    assert cache.counters.evictions > 1_000
    assert cache.counters.oversize > 1_000


def test_an_oversize_value_never_leaves_the_old_value_behind() -> None:
    cache = AnswerCache(items_max=10, bytes_max=5_000)
    cache.put("k", record(b"old"))
    returned = cache.put("k", record(bytes(6_000), n=2))
    assert returned.record.version == Version(1, 2)
    assert cache.get("k") is None
    assert cache.counters.oversize == 1


def test_the_key_counts_towards_the_bytes() -> None:
    longer_by = 3 * SIZE_STEP_BYTES
    long, short = answer_of("k" * (1 + longer_by), record(b"")), answer_of("k", record(b""))
    assert long.size_bytes - short.size_bytes == longer_by


def test_bytes_accounted_equal_the_sum_of_what_is_kept() -> None:
    cache = AnswerCache(items_max=10, bytes_max=50_000)
    kept = {f"k{n}": record(bytes(n * 10)) for n in range(5)}
    for key, value in kept.items():
        cache.put(key, value)
    cache.put("k0", record(bytes(77), n=2))
    kept["k0"] = record(bytes(77), n=2)
    assert cache.bytes_now == sum(answer_of(key, value).size_bytes for key, value in kept.items())


def test_the_least_recently_used_goes_first_and_is_counted() -> None:
    cache = AnswerCache(items_max=2, bytes_max=50_000)
    cache.put("a", record(b"a"))
    cache.put("b", record(b"b"))
    cache.get("a")
    cache.put("c", record(b"c"))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert (cache.counters.hits, cache.counters.misses, cache.counters.evictions) == (2, 1, 1)


def test_replacing_an_answer_evicts_nobody_when_it_fits() -> None:
    cache = AnswerCache(items_max=2, bytes_max=50_000)
    cache.put("a", record(b"a"))
    cache.put("b", record(b"b"))
    cache.put("a", record(b"a2", n=2))
    assert len(cache) == 2
    assert cache.counters.evictions == 0


def test_a_record_of_about_the_same_length_takes_its_old_ones_place_and_is_the_latest_used() -> None:
    cache = AnswerCache(items_max=2, bytes_max=50_000)
    old = cache.put("a", record(b"old"))
    cache.put("b", record(b"b"))
    kept_bytes = cache.bytes_now
    new = cache.put("a", record(b"new", n=2))
    cache.put("c", record(b"c"))
    found = cache.get("a")
    assert new is old
    assert found is not None
    assert found.record == record(b"new", n=2)
    assert cache.get("b") is None
    assert cache.bytes_now == kept_bytes


def test_a_record_that_outgrows_its_old_ones_place_is_counted_anew() -> None:
    cache = AnswerCache(items_max=2, bytes_max=50_000)
    old_bytes = cache.put("a", record(b"old")).size_bytes
    new = cache.put("a", record(bytes(SIZE_STEP_BYTES), n=2))
    assert new.size_bytes == old_bytes + SIZE_STEP_BYTES
    assert cache.bytes_now == new.size_bytes


@pytest.mark.parametrize(("items_max", "bytes_max"), [(0, 1), (1, 0), (-1, 10)])
def test_bounds_below_one_are_refused(items_max: int, bytes_max: int) -> None:
    with pytest.raises(ValueError, match="cache bounds"):
        AnswerCache(items_max=items_max, bytes_max=bytes_max)
