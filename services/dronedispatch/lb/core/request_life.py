"""The life of a proxied request as a table: in which state it is, what may befall it there, what is done then. Pure.

    QUEUED -> CONNECTING -> SENDING -> AWAITING -> STREAMING -> ENDED
       ^          |            |          |
       +--------- PAUSING <----+----------+    a try came to nothing, and another is worth it

`TABLE` has a row for each thing that can go wrong; `after` looks it up. The I/O is `lb/proxied_request.py`, which is
itself the `RequestFacts`: an undisturbed request asks nothing here and pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from dronedispatch.lb.core.retry import (
    RETRY_STATUSES,
    SAFE,
    may_be_own_doing,
    may_repeat,
    why_no_retry,
)

if TYPE_CHECKING:
    from dronedispatch.lb.core.heads import RequestHead

BACKOFF_BASE_S: Final = 0.010
BACKOFF_CAP_S: Final = 0.050
BUDGET_SPENT: Final = "the budget is spent"


class RequestState(StrEnum):
    """Where a request is. QUEUED: it looks for a backend with room. SENDING: a part of its body is still to come."""

    QUEUED = "queued"
    CONNECTING = "connecting"
    SENDING = "sending"
    AWAITING = "awaiting"
    STREAMING = "streaming"
    PAUSING = "pausing"
    ENDED = "ended"


# --- what may befall it ---


class NoPlace(NamedTuple):
    """No backend that it has not tried has room."""


class NotConnected(NamedTuple):
    """The connect was refused or took too long: nothing was sent."""

    reason: str


class Answered(NamedTuple):
    """A backend's answer, before a byte of it has gone on. `unknown`: it says so of its outcome."""

    status: int
    unknown: bool


class Lost(NamedTuple):
    """The connection is gone. `answered`: something had come. `idle_close`: a kept connection that was closed under us."""

    reason: str
    answered: bool
    idle_close: bool


class Expired(NamedTuple):
    """What it waits for did not come in time."""


class ClientStalled(NamedTuple):
    """The deadline passed while the client took nothing of what was written to it."""


class ClientGone(NamedTuple):
    """The client closed its connection, or vanished."""


class BodyRefused(NamedTuple):
    """The client sent a body that no backend shall see the end of."""

    status: int
    reason: str


Event = NoPlace | NotConnected | Answered | Lost | Expired | ClientStalled | ClientGone | BodyRefused


# --- what is done then ---


class Retry(NamedTuple):
    """Another backend after `pause_s`. `paid`: from the retry budget. `unresolved`: a try may have been carried out."""

    pause_s: float
    paid: bool
    unresolved: bool


class Resend(NamedTuple):
    """The same backend at once on a fresh connection, outside the budget."""

    unresolved: bool


class Wait(NamedTuple):
    """Stay, and ask again at `until_s`."""

    until_s: float
    why_not: str = ""


class OwnAnswer(NamedTuple):
    """An answer of our own. `ended` is the log's word; `why_not` says why no other backend is asked."""

    status: int
    reason: str
    ended: str
    unresolved: bool = False
    retry_after_s: int | None = None
    close: bool = False
    why_not: str = ""


class Cut(NamedTuple):
    """Close without an end: a part of the answer is out, or nobody is there to read one."""

    ended: str


class Pass(NamedTuple):
    """The backend's answer goes to the client as it is."""

    why_not: str = ""


Verdict = Retry | Resend | Wait | OwnAnswer | Cut | Pass


# --- what a decision looks at ---


class Chance(Protocol):
    """The part of `random.Random` that a pause needs."""

    def uniform(self, a: float, b: float) -> float: ...


class Patience(Protocol):
    """Seconds; see `lb/settings.py:Timeouts`."""

    @property
    def queue_s(self) -> float: ...
    @property
    def try_s(self) -> float: ...
    @property
    def response_s(self) -> float: ...


class RequestFacts(Protocol):
    """A request as a decision sees it. Times are those of the loop, in s."""

    state: RequestState
    head: RequestHead
    tries: int  # so far, this one included
    told: bool  # a byte of a backend's answer went to the client
    unresolved: bool  # an earlier try was sent, got no answer, and may have changed something
    was_silent: bool  # a backend was given up for its silence
    connect_s: float  # 0.0: the connection was a kept one
    sent_s: float
    give_up_s: float  # the end of all tries

    @property
    def timeouts(self) -> Patience: ...
    @property
    def body_kept(self) -> bool:
        """The body so far is still in memory."""

    @property
    def any_untried(self) -> bool:
        """Somebody is left to ask, be it later."""

    @property
    def another(self) -> bool:
        """Retries are on, and somebody other than the present backend is left to ask."""

    @property
    def queue_full(self) -> bool: ...
    def affordable(self, now_s: float) -> bool:
        """The retry budget has one more."""


# --- decisions that several rows share ---


def may_resend(facts: RequestFacts) -> bool:
    """Whether the same request may be sent twice."""
    return facts.body_kept and may_repeat(facts.head.method, keyed=facts.head.keyed)


def answer_due_s(facts: RequestFacts, now_s: float) -> float:
    """Until when an answer is awaited, now that the whole request is sent.

    Who may ask another backend does so soon, once; the others can only wait. Once: where two say nothing it is what
    lies behind them, and the second's own words are worth waiting for.
    """
    timeouts = facts.timeouts
    limit_s = timeouts.response_s if facts.was_silent or not may_resend(facts) else timeouts.try_s
    due_s = now_s + limit_s
    return due_s if due_s < facts.give_up_s else facts.give_up_s


def closed_under_us(event: Lost, facts: RequestFacts) -> bool:
    """A kept connection that its backend closed while we wrote on it: nobody's failure, if the request may go again."""
    return event.idle_close and facts.connect_s == 0.0 and may_resend(facts)


def unresolved_after(facts: RequestFacts) -> bool:
    """A try was sent and will not be answered, or cannot say what it did."""
    return facts.unresolved or facts.head.method not in SAFE


def why_no_other(facts: RequestFacts, now_s: float, *, sent: bool, unknown: bool = False) -> str:
    """Empty when another backend may be asked, else the reason. What is not `sent` is outside the budget."""
    head = facts.head
    why_not = why_no_retry(
        method=head.method,
        keyed=head.keyed,
        sent=sent,
        outcome_unknown=unknown,
        tries=facts.tries,
        body_kept=facts.body_kept,
    )
    if why_not is not None:
        return why_not
    if facts.told:
        return "the client was told something already"
    if not facts.another:
        return "no other gateway, or retries are off"
    if now_s >= facts.give_up_s:
        return "no time left"
    return BUDGET_SPENT if sent and not facts.affordable(now_s) else ""


def _retry(facts: RequestFacts, rng: Chance, *, paid: bool, unresolved: bool) -> Retry:
    most_s: float = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** (facts.tries - 1))
    return Retry(rng.uniform(0.0, most_s), paid, unresolved)


def _unavailable(facts: RequestFacts, reason: str, ended: str, why_not: str = "") -> OwnAnswer:
    """503 is a promise that nothing was done: where an earlier try may have been carried out it is 504."""
    status = 504 if facts.unresolved else 503
    return OwnAnswer(status, reason, ended, facts.unresolved, retry_after_s=1, why_not=why_not)


# --- rows ---

Row = Callable[[Any, RequestFacts, float, Chance], Verdict]


def queue_or_give_up(_: NoPlace, facts: RequestFacts, now_s: float, _rng: Chance) -> Verdict:
    if not facts.any_untried:
        return _unavailable(facts, "no gateway is available", "no_gateway")
    if facts.queue_full:
        return _unavailable(facts, "every gateway is busy and the queue is full", "queue_full")
    return Wait(min(now_s + facts.timeouts.queue_s, facts.give_up_s))


def waited_too_long(_: Event, facts: RequestFacts, _now_s: float, _rng: Chance) -> Verdict:
    return _unavailable(facts, "every gateway is busy", "queue_timeout")


def connect_elsewhere(event: NotConnected, facts: RequestFacts, now_s: float, rng: Chance) -> Verdict:
    """Any method: nothing was sent, and a refused connect loads nobody."""
    why_not = why_no_other(facts, now_s, sent=False)
    if not why_not:
        return _retry(facts, rng, paid=False, unresolved=facts.unresolved)
    return _unavailable(facts, f"gateway: {event.reason}", "upstream_error", why_not)


def no_connection(_: Event, facts: RequestFacts, _now_s: float, _rng: Chance) -> Verdict:
    return OwnAnswer(504, "no gateway answered in time", "upstream_timeout", facts.unresolved)


def body_too_slow(_: Event, facts: RequestFacts, _now_s: float, _rng: Chance) -> Verdict:
    reason = "the body of the request did not come in time"
    return OwnAnswer(408, reason, "client_timeout", facts.unresolved, close=True)


def silence(_: Event, facts: RequestFacts, now_s: float, rng: Chance) -> Verdict:
    """No byte of an answer: ask another backend, or wait on where none may be asked.

    Without the budget a store that pauses would get every request three times.
    """
    end_s = min(facts.sent_s + facts.timeouts.response_s, facts.give_up_s)
    unresolved = unresolved_after(facts)
    if now_s >= end_s:
        return OwnAnswer(504, "the gateway did not answer in time", "upstream_timeout", unresolved)
    why_not = why_no_other(facts, now_s, sent=True)
    return Wait(end_s, why_not) if why_not else _retry(facts, rng, paid=True, unresolved=unresolved)


def judge_answer(event: Answered, facts: RequestFacts, now_s: float, rng: Chance) -> Verdict:
    """Asked of what may be repeated elsewhere, and of all that follows a try whose outcome nobody knows."""
    if event.status not in RETRY_STATUSES:
        own = may_be_own_doing(event.status, facts.head.method, keyed=facts.head.keyed)
        return _misled(facts) if facts.unresolved and own else Pass()
    why_not = why_no_other(facts, now_s, sent=True, unknown=event.unknown)
    if not why_not:
        unresolved = unresolved_after(facts) if event.unknown else facts.unresolved
        return _retry(facts, rng, paid=True, unresolved=unresolved)
    if facts.unresolved and not event.unknown:
        return _misled(facts)._replace(why_not=why_not)
    return Pass(why_not)


def _misled(facts: RequestFacts) -> OwnAnswer:
    """This backend says what an earlier try may have caused, or that nothing was done, which it cannot know."""
    return OwnAnswer(504, "an earlier try may have been carried out", "unknown", unresolved=True)


def lost_before_an_answer(event: Lost, facts: RequestFacts, now_s: float, rng: Chance) -> Verdict:
    unresolved = unresolved_after(facts)
    if closed_under_us(event, facts):
        return Resend(unresolved)
    # What answered with garbage has read the request: nobody else is to be shown it.
    why_not = "it had answered" if event.answered else why_no_other(facts, now_s, sent=True)
    if not why_not:
        return _retry(facts, rng, paid=True, unresolved=unresolved)
    return OwnAnswer(502, f"gateway: {event.reason}", "upstream_error", unresolved, why_not=why_not)


def refuse(event: BodyRefused, facts: RequestFacts, _now_s: float, _rng: Chance) -> Verdict:
    return OwnAnswer(event.status, event.reason, "refused", facts.unresolved, close=True)


def cut(ended: str) -> Row:
    verdict = Cut(ended)
    return lambda _event, _facts, _now_s, _rng: verdict


TABLE: Final[Mapping[tuple[RequestState, type[Event]], Row]] = {
    (RequestState.QUEUED, NoPlace): queue_or_give_up,
    (RequestState.QUEUED, Expired): waited_too_long,
    (RequestState.CONNECTING, NotConnected): connect_elsewhere,
    (RequestState.CONNECTING, Expired): no_connection,
    (RequestState.SENDING, Answered): judge_answer,
    (RequestState.SENDING, Lost): lost_before_an_answer,
    (RequestState.SENDING, Expired): body_too_slow,
    (RequestState.AWAITING, Answered): judge_answer,
    (RequestState.AWAITING, Lost): lost_before_an_answer,
    (RequestState.AWAITING, Expired): silence,
    (
        RequestState.AWAITING,
        ClientStalled,
    ): silence,  # it may be slow with what was told it before an answer (1xx)
    (RequestState.STREAMING, Lost): cut("upstream_cut"),
    (RequestState.STREAMING, Expired): cut("upstream_timeout"),
    (RequestState.STREAMING, BodyRefused): cut("refused"),
    (RequestState.PAUSING, Expired): waited_too_long,
}
ALWAYS: Final[Mapping[type[Event], Row]] = {
    ClientGone: cut("client_abort"),  # nobody wants the answer any more, and it is not asked for again
    ClientStalled: cut("client_slow"),
    BodyRefused: refuse,
}


def after(event: Event, facts: RequestFacts, now_s: float, rng: Chance) -> Verdict:
    """What is done after `event`. Raises KeyError for what cannot befall a request in its state."""
    row = TABLE.get((facts.state, type(event))) or ALWAYS[type(event)]
    return row(event, facts, now_s, rng)
