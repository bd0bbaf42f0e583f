"""The rules of headers, answers and retries, each with the mutation that takes it away and the test that must then fail."""

from __future__ import annotations

import struct
from collections.abc import Callable

from httptools import HttpResponseParser

from contract import test_lb_bounds as bounds
from contract import test_lb_failures as failures
from contract import test_lb_proxy as proxying
from contract import test_lb_silence as silence
from dronedispatch.lb.backends import BackendPool
from dronedispatch.lb.core import answers, request_life, retry
from dronedispatch.lb.core.heads import RequestHead, read_head
from dronedispatch.lb.core.request_life import (
    Cut,
    Expired,
    Lost,
    OwnAnswer,
    RequestFacts,
    RequestState,
    Verdict,
)
from dronedispatch.lb.proxied_request import ProxiedRequest
from dronedispatch.runtime.http.connection import Connection
from dronedispatch.testing.peer import hang_up
from support.lb_wire import GET, KEYED, POST
from support.rule_switches import Off, Switch, afterwards, always, put, setting, with_arguments
from unit.lb import test_lb_heads as reading
from unit.lb import test_lb_limits as limits
from unit.lb import test_lb_lines as lines
from unit.runtime_http import test_http_client as upstream

HTTP = "dronedispatch.runtime.http"


# --- headers ---

_on_header = RequestHead.on_header


def passing_on(prefix: bytes) -> Off:
    """A header of that name goes to the gateway as it came."""

    def on_header(self: RequestHead, name: bytes, value: bytes) -> None:
        if name.lower().startswith(prefix):
            self.lines.append(name.lower() + b": " + value)
        else:
            _on_header(self, name, value)

    return put({"core.heads.RequestHead.on_header": on_header})


def believing(head: bytes, *, trusted: bool) -> RequestHead:
    """Every peer is a proxy of ours."""
    return read_head(head, trusted=trusted or True)


def dropped(line: bytes) -> Switch:
    name = line.partition(b":")[0].lower()
    proof = reading.test_what_is_not_for_the_gateway_is_dropped
    return Switch(f"{name.decode()} ends here", passing_on(name), proof, (line,))


DROPPED = (
    b"Keep-Alive: timeout=5", b"Proxy-Authorization: zz", b"Proxy: evil", b"TE: trailers", b"Trailer: zz", b"Upgrade: h2c",
    b"HTTP2-Settings: zz", b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Host: evil", b"Forwarded: for=1.2.3.4",
    b"X-Real-IP: 1.2.3.4", b"Content_Length: 4",
)  # fmt: skip
NAMED_IN_CONNECTION = put({"core.heads.RequestHead._obey_connection": always(None)})
HEADERS = (
    *map(dropped, DROPPED),
    Switch("what Connection names ends here", NAMED_IN_CONNECTION,
           reading.test_names_in_connection_are_dropped_with_their_headers),
    Switch("a key that Connection names is none", NAMED_IN_CONNECTION,
           reading.test_a_key_that_connection_names_is_no_key),
    Switch("only proxies of ours are believed", put({"downstream.read_head": believing}),
           proxying.test_forwarding_headers_are_believed_from_trusted_proxies_only, ("", b"127.0.0.1")),
    Switch("an X-Request-ID is validated", put({"core.heads._REQUEST_ID": always(True)}),
           proxying.test_a_request_id_is_kept_if_valid_or_made_and_is_the_same_on_both_sides),
    Switch("Expect is answered here", passing_on(b"expect"),
           proxying.test_expect_100_is_answered_here_and_not_forwarded),
    Switch("an answer's hop-by-hop headers end here", put({"core.answers._HOP": answers._HOP - {b"keep-alive"}}),
           proxying.test_hop_by_hop_headers_end_here_in_both_directions),
    Switch("what an answer's Connection names ends here",
           put({"core.answers._without_named": lambda headers, _: [one for one in headers if one[0] != b"connection"]}),
           lines.test_headers_that_an_upstreams_connection_names_end_here),
)  # fmt: skip

# --- answers ---


def well_ended(_: Cut, request: ProxiedRequest, now_s: float) -> None:
    """An end is invented for what was cut."""
    request.client.transport.write(b"0\r\n\r\n")
    request.finish("ok", now_s, close=True)


def any_coding(self: Connection, name: bytes, value: bytes) -> None:
    if name.lower() == b"transfer-encoding":
        value = b"chunked"
    _answers_header(self, name, value)


def kept_in_any_case(self: Connection, *, keep: bool) -> None:
    """What came too much is forgotten, and the connection serves on."""
    self._parser = HttpResponseParser(self)
    _connection_finish(self, keep=keep or True)


def whole_in_any_case(self: Connection, *, keep: bool) -> None:
    """A connection whose request was cut short by an early answer serves on."""
    self.whole = True
    _connection_finish(self, keep=keep)


_answers_header, _connection_finish, _ask = Connection.on_header, Connection._finish, Connection.ask
GZIP = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
KEPT_IN_ANY_CASE = put({"connection.Connection._finish": kept_in_any_case}, HTTP)
ANSWERS = (
    Switch("an end is never invented", put({"verdicts.cut": well_ended}),
           proxying.test_an_answer_cut_in_the_middle_is_cut_for_the_client_too),
    Switch("a cut that no framing shows is a reset", put({"verdicts.RESET_ON_CLOSE": struct.pack("ii", 0, 0)}),
           proxying.test_an_answer_cut_in_the_middle_resets_a_client_that_knows_no_chunks),
    Switch("an upstream that answers beyond its framing is closed", KEPT_IN_ANY_CASE,
           proxying.test_bytes_beyond_an_answer_never_reach_the_next_client),
    Switch("bytes beyond the framing never reach a caller", KEPT_IN_ANY_CASE,
           upstream.test_bytes_beyond_the_framing_cost_the_connection_and_never_reach_the_next_caller),
    Switch("half a request is followed by no other", put({"connection.Connection._finish": whole_in_any_case}, HTTP),
           proxying.test_an_early_answer_to_an_unfinished_body_arrives_and_closes),
    Switch("the answer to HEAD has no body",
           put({"connection.Connection.ask": with_arguments(_ask, head_only=False)}, HTTP),
           proxying.test_head_204_and_304_have_no_body_and_the_connection_serves_on),
    Switch("a stream is passed on piece by piece",
           put({"proxied_request.ProxiedRequest.response_flush": always(None)}),
           proxying.test_server_sent_events_pass_one_by_one),
    Switch("an answer's coding is chunked or none", put({"connection.Connection.on_header": any_coding}, HTTP),
           upstream.test_an_answer_that_is_no_clean_http_is_malformed, (GZIP,)),
)  # fmt: skip

# --- retries ---


def row(state: RequestState, event: type, by: Callable[..., Verdict]) -> Off:
    """Another row in the table of a request's life."""
    return lambda patch: patch.setitem(request_life.TABLE, (state, event), by)


def asked_back(self: ProxiedRequest) -> None:
    """A client that went away is taken for a gateway that failed."""
    self._drop_upstream()
    self.decide(Lost("the client went away", answered=False, idle_close=False), self.core.now())


def given_up(_event: Expired, facts: RequestFacts, _now_s: float, _rng: object) -> Verdict:
    """A gateway that is slow is given up though nobody else may be asked."""
    return OwnAnswer(504, "no answer in time", "upstream_timeout", facts.unresolved)


def sent_in_any_case(facts: RequestFacts, now_s: float, *, sent: bool, unknown: bool = False) -> str:
    """A refused connect is taken for a request that was sent."""
    return _why_no_other(facts, now_s, sent=sent or True, unknown=unknown)


def untried(self: BackendPool, _tried: object, now_s: float) -> object:
    return _pick(self, (), now_s)


_pick, _why_no_retry, _interim = BackendPool.pick, retry.why_no_retry, ProxiedRequest.response_interim
_why_no_other = request_life.why_no_other
_begun, _late = ProxiedRequest.__init__, ProxiedRequest.expired
REPEATING_ALL = put({"core.retry.may_repeat": always(True), "core.request_life.may_repeat": always(True)})
REPEATING_NOTHING = put({"core.request_life.may_resend": always(False)})
SENT_IN_ANY_CASE = put({"core.request_life.why_no_other": sent_in_any_case})
ENDLESS_BUDGET = put({"core.retry.RetryBudget.has": always(True)})
FORGETTING_LOST_TRIES = put({"core.request_life.unresolved_after": always(False)})
RETRIES = (
    Switch("only what may be repeated is: reset", REPEATING_ALL,
           failures.test_what_was_sent_is_repeated_only_if_twice_is_as_good_as_once, (POST, 502, hang_up)),
    Switch("only what may be repeated is: kept connection", REPEATING_ALL,
           failures.test_a_post_without_key_on_a_connection_closed_under_us_is_not_repeated),
    Switch("only what may be repeated is: silence", REPEATING_ALL,
           silence.test_an_order_without_key_waits_and_is_told_that_nobody_knows),
    Switch("what may be repeated is: silence", REPEATING_NOTHING,
           silence.test_what_may_be_repeated_is_asked_elsewhere_before_the_response_deadline, (KEYED,)),
    Switch("what may be repeated is: kept connection", REPEATING_NOTHING,
           failures.test_a_kept_connection_that_was_closed_under_us_is_no_error_and_costs_no_budget),
    Switch("an unknown outcome is repeated only with a key",
           put({"core.request_life.why_no_retry": with_arguments(_why_no_retry, outcome_unknown=False)}),
           failures.test_an_unknown_outcome_is_repeated_only_with_a_key, (GET, {200, 504})),
    Switch("a refused connect is tried elsewhere", SENT_IN_ANY_CASE,
           failures.test_a_refused_connect_is_tried_elsewhere_whatever_the_method, (POST,)),
    Switch("a refused connect costs no budget", SENT_IN_ANY_CASE,
           failures.test_a_dead_gateway_costs_few_clients_no_error_and_no_budget),
    Switch("three tries", put({"core.retry.TRIES_MAX": 99}),
           failures.test_at_most_three_tries_and_each_at_another_gateway),
    Switch("each try at another gateway",
           put({"backends.BackendPool.pick": untried, "backends.BackendPool.has_untried": always(True)}),
           bounds.test_nobody_is_asked_twice_for_one_request),
    Switch("the budget: failures", ENDLESS_BUDGET, failures.test_retries_are_a_fifth_of_the_requests_at_most),
    Switch("the budget: silence", ENDLESS_BUDGET,
           silence.test_gateways_that_are_all_slow_get_a_fifth_more_at_most_and_answer_everybody),
    Switch("the budget's window ends", put({"core.retry.RetryBudget._turn": always(None)}),
           limits.test_the_budget_has_a_floor_of_three_in_ten_seconds),
    Switch("a body that is gone is not sent again", put({"proxied_request.ProxiedRequest.body_kept": True}),
           failures.test_a_body_too_long_to_keep_is_not_sent_again),
    Switch("nothing after a byte to the client",
           put({"proxied_request.ProxiedRequest.response_interim": afterwards(_interim, setting(told=False))}),
           failures.test_after_early_hints_nothing_is_tried_again),
    Switch("nothing for a client that has gone", put({"proxied_request.ProxiedRequest.client_gone": asked_back}),
           proxying.test_a_client_that_vanishes_takes_its_request_at_the_gateway_with_it),
    Switch("without budget the first is waited for", row(RequestState.AWAITING, Expired, given_up),
           silence.test_without_budget_the_door_waits_on_for_a_gateway_that_is_only_slow),
    Switch("one deadline over all tries",
           put({"proxied_request.ProxiedRequest.__init__": afterwards(_begun, setting(give_up_s=1e18))}),
           silence.test_silence_is_answered_by_one_more_try_and_all_together_have_an_end),
    Switch("silence is answered by one more try",
           put({"proxied_request.ProxiedRequest.expired": afterwards(_late, setting(was_silent=False))}),
           silence.test_silence_is_answered_by_one_more_try_and_all_together_have_an_end),
    Switch("503 means that nothing was done: another's 503", FORGETTING_LOST_TRIES,
           silence.test_nothing_was_done_is_never_said_of_what_may_have_been_done, (KEYED, 504, hang_up)),
    Switch("a refusal is not of one's own doing", put({"core.request_life.may_be_own_doing": always(False)}),
           silence.test_a_refusal_that_the_first_try_may_have_caused_is_unknown,
           (silence.CONDITIONAL, 412, 504, hang_up)),
    Switch("503 means that nothing was done: our own answer", FORGETTING_LOST_TRIES,
           silence.test_when_nobody_is_left_to_ask_what_may_have_been_done_is_unknown),
)  # fmt: skip

REQUESTS = (*HEADERS, *ANSWERS, *RETRIES)
