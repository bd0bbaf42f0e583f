"""The id of a keyed order: in the slot that faces its key's, and otherwise as random and as ordered as any."""

from __future__ import annotations

import pytest
from ulid import ULID

from dronedispatch.fleet.documents import delivery_key, idem_key
from dronedispatch.gateway.core.idempotency import id_beside
from dronedispatch.kv.slots import facing, slot_of

FRESH = "01KAZ5T4Z8QJ7M3W0XN2VRBCDE"


@pytest.mark.parametrize("number", range(50))
def test_the_delivery_lies_in_the_slot_that_faces_its_key(number: int) -> None:
    key = idem_key(f"key-{number}")
    assert slot_of(delivery_key(id_beside(FRESH, key))) == facing(slot_of(key))


def test_the_time_and_most_of_the_chance_of_an_id_stay() -> None:
    chosen = id_beside(FRESH, idem_key("k"))
    assert chosen[:-2] == FRESH[:-2]
    assert ULID.from_str(chosen).timestamp == ULID.from_str(FRESH).timestamp


def test_ids_that_differ_in_their_ends_alone_stay_different_by_turns() -> None:
    ends = {id_beside(FRESH[:-1] + letter, idem_key("k")) for letter in "0123456789ABCDEF"}
    assert len(ends) > 8
