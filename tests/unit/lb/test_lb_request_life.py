"""The table of a request's life: what is done after each thing that can befall it, row by row and without a socket."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from random import Random

import pytest

from dronedispatch.lb.core.heads import RequestHead, read_head
from dronedispatch.lb.core.request_life import (
    BACKOFF_BASE_S,
    BACKOFF_CAP_S,
    BUDGET_SPENT,
    Answered,
    BodyRefused,
    ClientGone,
    ClientStalled,
    Cut,
    Event,
    Expired,
    Lost,
    NoPlace,
    NotConnected,
    OwnAnswer,
    Pass,
    RequestState,
    Resend,
    Retry,
    Verdict,
    Wait,
    after,
    answer_due_s,
)
from dronedispatch.lb.settings import Timeouts

POST = read_head(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", trusted=False)
KEYED = read_head(
    b"POST /deliveries HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 3\r\n\r\n", trusted=False
)
GET, PUT = (
    read_head(b"%b /x HTTP/1.1\r\nHost: a\r\n\r\n" % method, trusted=False) for method in (b"GET", b"PUT")
)
RESET = Lost("connection reset", answered=False, idle_close=False)
IDLE_CLOSE = Lost("connection closed by the peer", answered=False, idle_close=True)
GARBAGE = Lost("no valid response", answered=True, idle_close=False)
BUSY = Answered(503, unknown=False)
UNKNOWN = Answered(504, unknown=True)
NOW_S = 10.0


@dataclass
class Case:
    """A first try of a request whose body is in memory, with another backend to ask and a budget."""

    state: RequestState = RequestState.AWAITING
    head: RequestHead = field(default_factory=lambda: GET)
    tries: int = 1
    told: bool = False
    unresolved: bool = False
    was_silent: bool = False
    connect_s: float = 0.001
    sent_s: float = 6.0
    give_up_s: float = 30.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    body_kept: bool = True
    any_untried: bool = True
    another: bool = True
    queue_full: bool = False
    budget: bool = True

    def affordable(self, now_s: float) -> bool:
        assert now_s == NOW_S
        return self.budget


def then(event: Event, case: Case) -> Verdict:
    return after(event, case, NOW_S, Random(1))


def own_answer(event: Event, case: Case) -> OwnAnswer:
    verdict = then(event, case)
    assert isinstance(verdict, OwnAnswer)
    return verdict


def retried(event: Event, case: Case) -> Retry:
    verdict = then(event, case)
    assert isinstance(verdict, Retry)
    return verdict


# --- before it is sent ---


def test_without_a_place_it_waits_for_one_but_not_longer_than_it_has() -> None:
    case = Case(RequestState.QUEUED, tries=0)
    assert then(NoPlace(), case) == Wait(NOW_S + case.timeouts.queue_s)
    assert then(NoPlace(), replace(case, give_up_s=10.5)) == Wait(10.5)


@pytest.mark.parametrize(
    ("case", "ended"),
    [
        (Case(RequestState.QUEUED, any_untried=False), "no_gateway"),
        (Case(RequestState.QUEUED, queue_full=True), "queue_full"),
    ],
)
def test_without_a_place_to_wait_nothing_was_done_and_is_said(case: Case, ended: str) -> None:
    verdict = own_answer(NoPlace(), case)
    assert (verdict.status, verdict.ended) == (503, ended)
    assert (verdict.retry_after_s, verdict.unresolved) == (1, False)


@pytest.mark.parametrize("head", [POST, KEYED, GET], ids=["post", "keyed", "get"])
def test_a_refused_connect_goes_elsewhere_whatever_the_method_and_costs_no_budget(head: RequestHead) -> None:
    verdict = retried(NotConnected("refused"), Case(RequestState.CONNECTING, head, budget=False))
    assert (verdict.paid, verdict.unresolved) == (False, False)


def test_a_refused_connect_with_nobody_else_is_503() -> None:
    verdict = own_answer(NotConnected("refused"), Case(RequestState.CONNECTING, POST, another=False))
    assert (verdict.status, verdict.reason, verdict.retry_after_s) == (503, "gateway: refused", 1)


@pytest.mark.parametrize(
    ("state", "status", "ended"),
    [
        (RequestState.QUEUED, 503, "queue_timeout"),
        (RequestState.PAUSING, 503, "queue_timeout"),
        (RequestState.CONNECTING, 504, "upstream_timeout"),
        (RequestState.SENDING, 408, "client_timeout"),
    ],
)
def test_a_deadline_before_the_request_is_sent_is_answered_by_what_was_awaited(
    state: RequestState, status: int, ended: str
) -> None:
    verdict = own_answer(Expired(), Case(state))
    assert (verdict.status, verdict.ended, verdict.close) == (status, ended, state is RequestState.SENDING)


# --- an answer is awaited ---


@pytest.mark.parametrize(("head", "within_s"), [(GET, 4.0), (PUT, 4.0), (KEYED, 4.0), (POST, 12.0)])
def test_who_may_be_asked_again_is_waited_for_less_long(head: RequestHead, within_s: float) -> None:
    assert answer_due_s(Case(head=head), NOW_S) == NOW_S + within_s
    assert answer_due_s(Case(head=head, was_silent=True), NOW_S) == NOW_S + 12.0
    assert answer_due_s(Case(head=head, give_up_s=11.0), NOW_S) == 11.0


@pytest.mark.parametrize("event", [RESET, Expired(), BUSY], ids=["reset", "silence", "503"])
@pytest.mark.parametrize("head", [GET, PUT, KEYED], ids=["get", "put", "keyed"])
def test_what_may_be_repeated_is_asked_elsewhere_and_pays(event: Event, head: RequestHead) -> None:
    verdict = retried(event, Case(head=head))
    assert verdict.paid
    assert verdict.unresolved == (head is not GET and event is not BUSY)


NO_OTHER = {
    "no key": Case(head=POST),
    "three tries": Case(tries=3),
    "the body is gone": Case(head=PUT, body_kept=False),
    "the client was told something": Case(told=True),
    "nobody else": Case(another=False),
    "no time": Case(sent_s=0.0, give_up_s=NOW_S),
    "no budget": Case(budget=False),
}


@pytest.mark.parametrize("case", NO_OTHER.values(), ids=NO_OTHER)
def test_where_nobody_else_may_be_asked_the_client_is_told(case: Case) -> None:
    told = [then(event, case) for event in (RESET, BUSY, Expired())]
    assert [type(verdict) for verdict in told[:2]] == [OwnAnswer, Pass]
    assert isinstance(told[2], OwnAnswer if case.give_up_s <= NOW_S else Wait)
    refusals = [verdict for verdict in told if isinstance(verdict, Pass | Wait)]
    assert all(verdict.why_not for verdict in refusals)


def test_only_the_budgets_refusal_is_counted_as_one() -> None:
    reasons = {name: then(BUSY, case) for name, case in NO_OTHER.items()}
    spent = [name for name, verdict in reasons.items() if verdict == Pass(BUDGET_SPENT)]
    assert spent == ["no budget"]


def test_what_is_slow_is_waited_for_until_the_response_deadline_and_then_unknown() -> None:
    case = Case(head=POST, sent_s=6.0)
    assert then(Expired(), case) == Wait(18.0, "POST without a key is not repeated")
    verdict = own_answer(Expired(), replace(case, sent_s=-5.0))
    assert (verdict.status, verdict.unresolved) == (504, True)


def test_a_kept_connection_closed_under_us_is_no_failure_and_pays_nothing() -> None:
    assert then(IDLE_CLOSE, Case(connect_s=0.0, budget=False)) == Resend(unresolved=False)
    assert then(IDLE_CLOSE, Case(head=PUT, connect_s=0.0)) == Resend(unresolved=True)
    assert isinstance(then(IDLE_CLOSE, Case(head=POST, connect_s=0.0)), OwnAnswer)
    assert isinstance(then(IDLE_CLOSE, Case(connect_s=0.002)), Retry)


def test_garbage_is_an_answer_and_nobody_else_is_asked() -> None:
    verdict = own_answer(GARBAGE, Case())
    assert verdict.status == 502


def test_an_unknown_outcome_is_repeated_with_a_key_only() -> None:
    assert isinstance(then(UNKNOWN, Case(head=PUT)), Pass)
    verdict = retried(UNKNOWN, Case(head=KEYED))
    assert verdict.unresolved


# --- 503 means that nothing was done ---

LEFT = [
    Case(state, unresolved=True, another=False, any_untried=False)
    for state in RequestState
    if state is not RequestState.ENDED
]


@pytest.mark.parametrize("case", LEFT, ids=lambda case: case.state.value)
def test_nothing_was_done_is_never_said_of_what_may_have_been_done(case: Case) -> None:
    events: list[Event] = [NoPlace(), NotConnected("refused"), Expired(), RESET, BUSY]
    for event in events:
        try:
            verdict = then(event, case)
        except KeyError:
            continue  # it cannot happen in this state
        if isinstance(verdict, OwnAnswer):
            assert verdict.status != 503
            assert verdict.unresolved


@pytest.mark.parametrize("status", [404, 409, 410, 412])
def test_a_refusal_that_an_earlier_try_may_have_caused_is_unknown(status: int) -> None:
    event = Answered(status, unknown=False)
    verdict = own_answer(event, Case(head=PUT, unresolved=True))
    assert (verdict.status, verdict.ended) == (504, "unknown")
    assert then(event, Case(head=KEYED, unresolved=True)) == Pass()
    assert then(Answered(200, unknown=False), Case(head=PUT, unresolved=True)) == Pass()


# --- a part of the answer is out; the client ---


@pytest.mark.parametrize(
    ("event", "ended"),
    [
        (RESET, "upstream_cut"),
        (Expired(), "upstream_timeout"),
        (BodyRefused(400, "no chunk"), "refused"),
        (ClientStalled(), "client_slow"),
        (ClientGone(), "client_abort"),
    ],
)
def test_an_answer_that_has_begun_is_cut_and_never_ended(event: Event, ended: str) -> None:
    assert then(event, Case(RequestState.STREAMING)) == Cut(ended)


@pytest.mark.parametrize(
    "state",
    [
        RequestState.QUEUED,
        RequestState.CONNECTING,
        RequestState.SENDING,
        RequestState.AWAITING,
        RequestState.PAUSING,
    ],
)
def test_a_body_that_is_refused_is_told_so_and_its_connection_closed(state: RequestState) -> None:
    verdict = then(BodyRefused(413, "too long"), Case(state))
    assert verdict == OwnAnswer(413, "too long", "refused", close=True)
    assert then(ClientGone(), Case(state)) == Cut("client_abort")


def test_what_cannot_happen_is_an_error() -> None:
    events: list[Event] = [NoPlace(), NotConnected("x"), BUSY]
    for state, event in product((RequestState.ENDED, RequestState.STREAMING), events):
        with pytest.raises(KeyError):
            then(event, Case(state))


def test_the_pause_has_full_jitter_and_a_cap() -> None:
    rng = Random(3)
    verdicts = [after(RESET, Case(tries=tries), NOW_S, rng) for tries in (1, 2) for _ in range(200)]
    pauses_s = [verdict.pause_s for verdict in verdicts if isinstance(verdict, Retry)]
    assert len(pauses_s) == 400
    assert 0 <= min(pauses_s) < 0.1 * BACKOFF_BASE_S
    assert BACKOFF_BASE_S < max(pauses_s) <= min(BACKOFF_CAP_S, 2 * BACKOFF_BASE_S)
