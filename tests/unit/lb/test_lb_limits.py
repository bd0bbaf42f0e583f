"""Rates, identity and the retry budget."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.lb.core.buckets import Limiter, Rate
from dronedispatch.lb.core.identity import client_address, limiter_key, networks
from dronedispatch.lb.core.retry import RetryBudget, why_no_retry


@pytest.mark.parametrize(("per_s", "burst"), [(10.0, 5.0), (100.0, 100.0), (0.5, 1.0)])
@pytest.mark.parametrize("everyone", [True, False])
def test_over_a_minute_exactly_rate_plus_burst_pass(per_s: float, burst: float, everyone: bool) -> None:
    rate = Rate(per_s, burst)
    limiter = Limiter(None, rate) if everyone else Limiter(rate, None)
    ticks = 60_000
    passed = sum(limiter.take("c", 1000.0 + tick / 1000) == 0.0 for tick in range(ticks))
    assert passed == pytest.approx(per_s * 60 + burst, abs=1.5)


def test_a_refusal_says_how_long_and_then_it_passes() -> None:
    limiter = Limiter(Rate(2.0, 1.0), None)
    assert limiter.take("c", 5.0) == 0.0
    wait_s = limiter.take("c", 5.1)
    assert wait_s == pytest.approx(0.4)
    assert limiter.take("c", 5.1 + wait_s) == 0.0


def test_a_request_that_all_together_refuse_gives_the_client_its_token_back() -> None:
    limiter = Limiter(Rate(0.1, 1.0), Rate(1.0, 1.0))
    assert limiter.take("a", 1.0) == 0.0
    assert limiter.take("b", 1.0) > 0.0
    assert limiter.take("b", 2.0) == 0.0


def test_a_request_that_its_client_may_not_make_takes_nothing_from_all() -> None:
    limiter = Limiter(Rate(0.001, 1.0), Rate(1.0, 2.0))
    assert limiter.take("a", 1.0) == 0.0
    assert all(limiter.take("a", 1.0) > 0.0 for _ in range(10))
    assert limiter.take("b", 1.0) == 0.0


def test_clients_do_not_share_their_tokens() -> None:
    limiter = Limiter(Rate(1.0, 2.0), None)
    assert [limiter.take(client, 1.0) == 0.0 for client in "aabbab"] == [True, True, True, True, False, False]


@given(st.lists(st.floats(0.0, 0.5), max_size=60), st.floats(0.5, 20.0), st.floats(1.0, 5.0))
def test_no_window_sees_more_than_rate_and_burst(gaps: list[float], per_s: float, burst: float) -> None:
    limiter = Limiter(Rate(per_s, burst), None)
    now_s, passed = 100.0, []
    for gap in gaps:
        now_s += gap
        if limiter.take("c", now_s) == 0.0:
            passed.append(now_s)
    for start in range(len(passed)):
        for end in range(start, len(passed)):
            assert end - start + 1 <= burst + per_s * (passed[end] - passed[start]) + 1e-6


def test_ever_more_clients_stay_within_their_memory_and_a_hundred_thousand_are_remembered() -> None:
    limiter = Limiter(Rate(0.001, 1.0), None)
    for number in range(250_000):
        limiter.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1.0)
    known = (limiter._young, limiter._old)
    entries = [part for one in known for entry in one.items() for part in entry]
    assert sum(map(sys.getsizeof, (*known, *entries))) < 64_000_000
    assert 50_000 <= limiter.clients <= 100_000
    assert limiter.take("10.3.208.143", 1.0) > 0.0


def test_shares_of_a_rate_add_up_to_it() -> None:
    share = Rate(100.0, 40.0).shared_by(4)
    assert (share.per_s * 4, share.burst * 4) == (100.0, 40.0)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("1.1.1.1", [b"2.2.2.2"], "1.1.1.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", [b"9.9.9.9, 2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", [b"9.9.9.9", b"2.2.2.2, 10.0.0.2"], "2.2.2.2"),
        ("10.0.0.1", [b"2.2.2.2, evil, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [b"[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", [b"2.2.2.2:1234"], "2.2.2.2"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b'fe80::1%" 200 -'], "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_nobody_of_ours_is(
    peer: str, forwarded: list[bytes], client: str
) -> None:
    assert client_address(peer, forwarded, networks("10.0.0.0/8")) == client


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_ipv6_client_is_its_network(address: str, key: str) -> None:
    assert limiter_key(address) == key


@pytest.mark.parametrize(
    ("method", "keyed", "sent", "unknown", "tries", "kept", "may"),
    [
        (b"GET", False, True, False, 1, True, True),
        (b"PUT", False, True, False, 2, True, True),
        (b"GET", False, True, False, 3, True, False),
        (b"POST", False, True, False, 1, True, False),
        (b"POST", False, False, False, 1, True, True),
        (b"POST", True, True, False, 1, True, True),
        (b"PATCH", True, True, True, 1, True, True),
        (b"DELETE", False, True, True, 1, True, False),
        (b"GET", False, True, False, 1, False, False),
        (b"LOCK", False, True, False, 1, True, False),
    ],
)
def test_a_request_is_repeated_only_if_that_is_safe(
    method: bytes, keyed: bool, sent: bool, unknown: bool, tries: int, kept: bool, may: bool
) -> None:
    told = {"keyed": keyed, "sent": sent, "outcome_unknown": unknown, "body_kept": kept}
    assert (why_no_retry(method=method, tries=tries, **told) is None) is may


@pytest.mark.parametrize("per_s", [1, 50, 3000])
def test_the_budget_holds_retries_to_a_fifth_in_the_long_run(per_s: int) -> None:
    budget = RetryBudget(share=0.2, floor=3)
    retries = requests = 0
    for number in range(60 * per_s):
        now_s = 500.0 + number / per_s
        budget.request(now_s)
        requests += 1
        while budget.take(now_s):
            retries += 1
    assert retries <= max(0.2 * requests, 3 * 6) + 3


def test_the_budget_has_a_floor_of_three_in_ten_seconds() -> None:
    budget = RetryBudget(share=0.2, floor=3)
    budget.request(7.0)
    assert [budget.take(7.0) for _ in range(4)] == [True, True, True, False]
    assert not budget.take(16.9)
    assert budget.take(17.1)


def test_the_budget_counts_right_over_random_gaps() -> None:
    rng, budget = random.Random(4), RetryBudget(share=0.5, floor=0)
    now_s, asked = 0.0, []
    for _ in range(500):
        now_s += rng.choice([0.01, 0.3, 2.0, 30.0])
        budget.request(now_s)
        asked.append(now_s)
        budget.take(now_s)
        in_window = sum(int(at_s) > int(now_s) - 10 for at_s in asked)
        assert budget._sum_requests == in_window
