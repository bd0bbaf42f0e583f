"""For how long nothing was confirmed: over new connections, and anew with every confirmation."""

from __future__ import annotations

from dronedispatch.runtime.away import Confirms
from dronedispatch.testing.clock import FakeClock


def test_what_waits_for_its_first_confirmation_is_counted_from_when_it_was_sent() -> None:
    clock = FakeClock()
    confirms = Confirms(clock)
    clock.advance(100.0)
    assert confirms.waiting_s == 0.0
    confirms.sent()
    clock.advance(2.0)
    confirms.sent()
    assert confirms.waiting_s == 2.0
    confirms.ended(confirmed=True)
    assert confirms.waiting_s == 0.0
    clock.advance(3.0)
    assert confirms.waiting_s == 3.0
    confirms.ended(confirmed=True)
    clock.advance(4.0)
    assert confirms.waiting_s == 0.0


def test_what_is_sent_again_over_another_connection_has_waited_since_the_first() -> None:
    clock = FakeClock()
    confirms = Confirms(clock)
    confirms.sent()
    clock.advance(10.0)
    confirms.ended(confirmed=False)
    clock.advance(1.0)
    confirms.sent()
    assert confirms.waiting_s == 11.0
    confirms.ended(confirmed=True)
    assert confirms.waiting_s == 0.0
