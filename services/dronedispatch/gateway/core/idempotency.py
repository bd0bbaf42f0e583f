"""What an Idempotency-Key decides, before and apart from any write.

`idem/<sha256 of the key>` is created by CAS before the delivery and names it. Whoever finds it with an equal
fingerprint finishes the create-only write of that delivery and answers the same 201: a crash between the two
writes heals, and a balancer's retry is no second order.
"""

from __future__ import annotations

import hashlib

import msgspec

from dronedispatch.fleet.deliveries import Eta
from dronedispatch.fleet.documents import delivery_key, encode, unstamp
from dronedispatch.gateway.core.figures import created_s
from dronedispatch.gateway.core.order import Order
from dronedispatch.kv.slots import ENDING_LETTERS, ending, facing, slot_of

KEEP_S = 24 * 3600.0
CLOCK_OFF_S = 2 * 3600.0  # who made the record, or who sweeps, may have a clock that is off by so much


class IdemAge(msgspec.Struct, frozen=True, kw_only=True):
    """Of an IdemRecord what says how old it is: the record of another release is forgotten, too."""

    delivery_id: str
    created_at: str


class IdemRecord(IdemAge, frozen=True, kw_only=True):
    """All that the answer to the first attempt said, so that every later one says the same."""

    fingerprint: str
    eta: Eta


def fingerprint(order: Order) -> str:
    """Equal for bodies that mean the same order, whatever their spelling."""
    return hashlib.sha256(encode(order)).hexdigest()


def id_beside(delivery_id: str, key: str) -> str:
    """`delivery_id` with another random end: the store keeps that delivery in the slot that faces the one of `key`, and so
    writes both in three round trips instead of four. The time in the id stays, and 74 random bits of 80.
    """
    head, last = delivery_id[:-2], delivery_id[-2:]
    chance = ENDING_LETTERS.index(last[0]) * len(ENDING_LETTERS) + ENDING_LETTERS.index(last[1])
    return head + ending(delivery_key(head), facing(slot_of(key)), chance)


def why_not_the_same(stored: IdemRecord, wanted_fingerprint: str) -> str | None:
    """The reason why a second request with the key cannot get the first one's answer; None if it can."""
    if stored.fingerprint == wanted_fingerprint:
        return None
    return f"was used at {stored.created_at} for delivery {stored.delivery_id} with another body"


def is_over(stored: IdemAge, now_s: float) -> bool:
    """Whether the sweep may forget the key. Raises ValueError when nothing says how old it is."""
    try:
        made_s = unstamp(stored.created_at)
    except ValueError:
        made_s = created_s(stored.delivery_id)
    return made_s + KEEP_S + CLOCK_OFF_S < now_s
