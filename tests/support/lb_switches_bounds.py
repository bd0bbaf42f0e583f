"""The rules of the table, the limits, the log and the drain, each with its mutation and the test that must then fail."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from contract import test_lb_bounds as bounds
from contract import test_lb_failures as failures
from dronedispatch.lb.backends import BackendPool
from dronedispatch.lb.connections import Connections
from dronedispatch.lb.core import ejection, retry
from dronedispatch.lb.core.balance import RoundRobin
from dronedispatch.lb.core.buckets import Limiter, Rate
from dronedispatch.lb.core.upload import Upload
from dronedispatch.lb.proxied_request import ProxiedRequest
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.connection import Connection
from dronedispatch.runtime.http.pool import Pool
from support.rule_switches import Off, Switch, afterwards, always, put, with_arguments
from unit.lb import test_lb_gateway_choice as choice
from unit.lb import test_lb_limits as limits
from unit.lb import test_lb_lines as lines


def never_leaving(self: BackendPool, wanted: dict[str, Endpoint]) -> None:
    """Who was in the table once stays there."""
    known = {one.id: Endpoint(one.id, one.address, one.port, {}) for one in self.members.values()}
    _apply(self, known | wanted)


async def any_connect(_pool: BackendPool, _gateway: object) -> bool:
    return True


def cutting(patch: pytest.MonkeyPatch) -> None:
    """A pool that closes takes its busy connections with it."""
    opened, close = Pool.opened, Pool.close
    busy: list[Connection] = []

    def noting(self: Pool, connection: Connection) -> None:
        busy.append(connection)
        opened(self, connection)

    def closing(self: Pool) -> None:
        close(self)
        for connection in busy:
            if connection.home is self:
                connection.transport.abort()

    patch.setattr(Pool, "opened", noting)
    patch.setattr(Pool, "close", closing)


def any_number_at_one(self: RoundRobin, active: Any, tried: Any, _: int, now_s: float, **warming: Any) -> Any:
    return _robin(self, active, tried, 10**9, now_s, **warming)


_apply, _robin = BackendPool._apply, RoundRobin.pick
TABLE = (
    Switch("who keeps failing is left out", put({"core.ejection.failed": always(False)}),
           failures.test_a_gateway_that_keeps_failing_is_left_out_and_comes_back_when_it_answers),
    Switch("five failures in a row", put({"core.ejection.CONSECUTIVE_MAX": 2}),
           choice.test_five_failures_in_a_row_are_an_ejection_and_a_success_between_them_is_not),
    Switch("an ejection has an end", put({"core.ejection.TIMES_MAX": 99}),
           choice.test_each_ejection_is_thirty_seconds_longer_up_to_ten_of_them),
    Switch("the last one is always kept",
           put({"core.ejection.why_not_eject": always(None), "core.ejection.readmit": always(None)}),
           failures.test_the_last_gateway_is_never_left_out),
    Switch("shared failures never cost more than half",
           put({"core.ejection.why_not_eject": with_arguments(ejection.why_not_eject, hard=True)}),
           bounds.test_a_failure_that_all_gateways_share_leaves_out_one_of_three),
    Switch("an ejection survives the table",
           put({"backends.BackendPool._apply": afterwards(_apply, lambda table: table._records.clear())}),
           failures.test_an_ejection_outlives_the_gateways_absence_from_the_catalogue),
    Switch("who is probed must answer", put({"backends.BackendPool._answers": any_connect}),
           failures.test_a_gateway_that_accepts_and_hangs_up_stays_out),
    Switch("an empty catalogue has a grace",
           put({"backends.BackendPool.replace": lambda table, ends: _apply(table, {end.id: end for end in ends})}),
           failures.test_an_empty_catalogue_leaves_the_last_table_for_a_while),
    Switch("who left gets nothing new", put({"backends.BackendPool._apply": never_leaving}),
           failures.test_a_gateway_that_left_gets_nothing_new_and_finishes_what_it_has),
    Switch("who left finishes what it has", cutting,
           failures.test_a_gateway_that_left_gets_nothing_new_and_finishes_what_it_has),
    Switch("the cap of requests at one gateway",
           put({"core.balance.RoundRobin.pick": any_number_at_one}),
           failures.test_beyond_the_cap_requests_wait_and_beyond_the_queue_they_are_503),
)  # fmt: skip

# --- limits ---

_take, _upload_init, _drain = Limiter.take, Upload.__init__, Connections.drain


def fixed_window(self: Limiter, client: str, now_s: float) -> float:
    """A counter for each second: twice the burst passes at its turn."""
    rate = self._client or self._all
    assert rate is not None
    at = f"{client}/{now_s // (rate.burst / rate.per_s)}"
    self._young[at] = self._young.get(at, 0.0) + 1.0
    return 0.0 if self._young[at] <= rate.burst else 1.0


def fast_clock(self: Limiter, client: str, now_s: float) -> float:
    return _take(self, client, now_s * 1.02)


def paid_when_refused(everyone: bool) -> Off:
    """A refusal costs all a token, or its client."""

    def take(self: Limiter, client: str, now_s: float) -> float:
        wait_s = _take(self, client, now_s)
        if wait_s and everyone and self._all is not None:
            self._all_full_s = max(self._all_full_s, now_s) + 1.0 / self._all.per_s
        elif wait_s and self._client is not None:
            self._young[client] = max(self._young.get(client, 0.0), now_s) + 1.0 / self._client.per_s
        return wait_s

    return put({"core.buckets.Limiter.take": take})


def first_named(peer: str, forwarded_for: list[bytes], _trusted: object) -> str:
    """The address that the client itself wrote."""
    return forwarded_for[0].split(b",")[0].decode() if forwarded_for else peer


def waiting_for_a_piece(request: ProxiedRequest, now_s: float) -> None:
    """A body may take as long as it likes, as long as something comes."""
    request.client.deadline_s = now_s + request.core.timeouts.body_idle_s


def waiting_for_all(request: ProxiedRequest, _now_s: float) -> None:
    """A body may stop for as long as its whole may take."""
    request.client.deadline_s = request.head_s + request.core.timeouts.body_grace_s


def awaiting_a_body(by: Callable[[ProxiedRequest, float], None]) -> Off:
    return put({"attempt.await_body": by, "proxied_request.await_body": by})


ALSO_429 = retry.RETRY_STATUSES | {429}
LIMITS = (
    Switch("no window sees more than rate and burst", put({"core.buckets.Limiter.take": fixed_window}),
           limits.test_no_window_sees_more_than_rate_and_burst),
    Switch("a minute sees exactly rate and burst", put({"core.buckets.Limiter.take": fast_clock}),
           limits.test_over_a_minute_exactly_rate_plus_burst_pass, (100.0, 100.0, False)),
    Switch("the client's token comes back", paid_when_refused(everyone=False),
           limits.test_a_request_that_all_together_refuse_gives_the_client_its_token_back),
    Switch("a client's refusal costs nobody else", paid_when_refused(everyone=True),
           limits.test_a_request_that_its_client_may_not_make_takes_nothing_from_all),
    Switch("a hundred thousand clients are remembered at most",
           put({"core.buckets.Limiter.__init__": with_arguments(Limiter.__init__, clients_max=10**9)}),
           limits.test_ever_more_clients_stay_within_their_memory_and_a_hundred_thousand_are_remembered),
    Switch("processes share a rate",
           put({"core.buckets.Rate.shared_by": lambda rate, _: Rate(rate.per_s, rate.burst)}),
           lines.test_each_of_several_processes_gets_its_share_of_the_limits),
    Switch("a client is named by whom we trust", put({"downstream.client_address": first_named}),
           bounds.test_a_client_that_invents_addresses_has_one_rate_all_the_same, ("127.0.0.0/8",)),
    Switch("a 429 is never retried",
           put({f"{place}.RETRY_STATUSES": ALSO_429 for place in ("proxied_request", "core.request_life")}),
           bounds.test_a_gateways_429_is_passed_on_and_is_nobodys_failure),
    Switch("a body has a limit",
           put({"core.upload.Upload.__init__": lambda self, size, _: _upload_init(self, size, 1 << 40)}),
           failures.test_slow_or_oversized_requests_are_told_so_and_closed,
           (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413)),
    Switch("a slow client has a deadline", put({"deadlines.Deadlines._tick": always(None)}),
           failures.test_slow_or_oversized_requests_are_told_so_and_closed, (b"GET / HTTP/1.1\r\nHo", 408)),
    Switch("a body that stops has a deadline", awaiting_a_body(waiting_for_all),
           failures.test_slow_or_oversized_requests_are_told_so_and_closed,
           (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", 408)),
    Switch("a body that drips has a deadline", awaiting_a_body(waiting_for_a_piece),
           bounds.test_a_body_that_drips_is_given_up_and_is_nobodys_failure),
    Switch("what comes of a body earns it time", awaiting_a_body(waiting_for_all),
           bounds.test_a_body_that_comes_slowly_but_steadily_is_served),
    Switch("connections have a limit",
           put({"connections.Connections.__init__": with_arguments(Connections.__init__, at_most=10**9)}),
           bounds.test_when_every_connection_has_a_request_under_way_the_door_says_so_and_closes),
    Switch("silent connections make room", put({"core.crowd.Crowd.who_must_go": always(None)}),
           bounds.test_silent_connections_keep_nobody_out, (b"",)),
    Switch("an event stream gives its place back", put({"proxied_request.is_event_stream": always(False)}),
           bounds.test_event_streams_take_no_places_of_requests),
    Switch("full is not broken", put({"proxied_request.OVERLOADED": (b"", b"")}),
           bounds.test_a_gateway_that_is_full_is_not_a_gateway_that_fails),
)  # fmt: skip

# --- the log ---

UNESCAPED = put({"core.access._escaped": lambda line: line})
LOG = (
    Switch("a request line stays in its quotes", UNESCAPED,
           lines.test_no_request_can_break_a_line_or_leave_its_quotes),
    Switch("a refused line stays in its quotes", UNESCAPED,
           bounds.test_what_was_refused_cannot_forge_a_line_of_the_log, (b'GET /" 200 0/0',)),
    Switch("an address in the log is an address", put({"core.identity._address": lambda hop: str(ip_address(hop))}),
           limits.test_the_client_is_the_first_from_the_right_that_nobody_of_ours_is,
           ("10.0.0.1", [b'fe80::1%" 200 -'], "10.0.0.1")),
)  # fmt: skip

# --- drain ---

DRAIN = (
    Switch("a draining door says close",
           lambda patch: patch.setattr(Connections, "draining", property(always(False), always(None)), raising=False),
           failures.test_a_draining_door_answers_closes_and_leaves_nobody),
    Switch("a draining door finishes what is in flight",
           put({"connections.Connections.drain": lambda those, _limit_s: _drain(those, 0.0)}),
           failures.test_a_draining_door_answers_closes_and_leaves_nobody),
)  # fmt: skip

BOUNDS = (*TABLE, *LIMITS, *LOG, *DRAIN)
