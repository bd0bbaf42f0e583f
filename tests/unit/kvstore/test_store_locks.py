"""Locks at the primary: who may take one, when a lease has ended, and tokens that only rise."""

from __future__ import annotations

from typing import Literal

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.locks import lock_state
from dronedispatch.kvstore.core.rules import execute
from dronedispatch.replication import calls as c
from dronedispatch.testing.simulation.engine import MemoryEngine

TTL_MS = 1_000


class Primary:
    """One replica and its clock."""

    def __init__(self) -> None:
        self.engine = MemoryEngine("cluster", "disk")
        self.now_s = 100.0
        self.epoch = 5
        self._writes = 0

    def ask(
        self, verb: Literal["acquire", "renew", "release"], owner: str, token: Version | None = None
    ) -> c.AnyReply:
        self._writes += 1
        write_id = self._writes.to_bytes(16, "big")
        call = c.Lock("cluster", self.epoch, "disk", 0, "lock/x", verb, owner, token, TTL_MS, write_id, 1.0)
        return execute(self.engine, call, self.now_s)

    def take(self, owner: str) -> Version:
        reply = self.ask("acquire", owner)
        assert isinstance(reply, c.Applied), reply
        return reply.record.version

    def record(self) -> Record:
        record = self.engine.get("lock/x")
        assert record is not None
        return record


def test_a_held_lock_is_refused_to_others_until_its_time_is_over() -> None:
    primary = Primary()
    token = primary.take("me")
    primary.now_s += 0.999
    assert primary.ask("acquire", "you") == c.Mismatch(primary.record(), "held")
    primary.now_s += 0.001
    assert primary.take("you") > token


def test_the_same_owner_gets_a_new_token() -> None:
    primary = Primary()
    first = primary.take("me")
    assert primary.take("me") > first


def test_renewing_keeps_the_token_and_starts_the_time_again() -> None:
    primary = Primary()
    token = primary.take("me")
    primary.now_s += 0.9
    assert isinstance(primary.ask("renew", "me", token), c.Applied)
    state = lock_state(primary.record())
    assert state is not None
    assert state.token == token
    primary.now_s += 0.9
    assert isinstance(primary.ask("acquire", "you"), c.Mismatch)


def test_an_expired_lease_may_be_renewed_while_nobody_has_taken_the_lock() -> None:
    primary = Primary()
    token = primary.take("me")
    primary.now_s += 5.0
    assert isinstance(primary.ask("renew", "me", token), c.Applied)


def test_a_lease_that_has_passed_to_another_can_be_neither_renewed_nor_released() -> None:
    primary = Primary()
    token = primary.take("me")
    primary.now_s += 5.0
    primary.take("you")
    assert primary.ask("renew", "me", token) == c.Mismatch(primary.record(), "held")
    assert primary.ask("release", "me", token) == c.Mismatch(primary.record(), "held")


def test_tokens_rise_over_a_release_and_over_a_purge() -> None:
    primary = Primary()
    first = primary.take("me")
    primary.ask("release", "me", first)
    assert primary.record().tombstone
    second = primary.take("you")
    primary.ask("release", "you", second)
    primary.engine.remove("lock/x", 0)
    primary.epoch += 1  # a purge begins a new epoch
    assert first < second < primary.take("me")


def test_after_a_restart_the_full_time_starts_again() -> None:
    primary = Primary()
    primary.take("me")
    primary.engine.commit(primary.now_s, primary.now_s)
    primary.now_s += 0.9
    primary.engine.crash(primary.now_s)
    primary.now_s = 7.0  # another boot, another monotonic clock
    assert isinstance(primary.ask("acquire", "you"), c.Mismatch)
    primary.now_s += 0.9
    assert isinstance(primary.ask("acquire", "you"), c.Mismatch)
    primary.now_s += 0.1
    assert isinstance(primary.ask("acquire", "you"), c.Applied)
