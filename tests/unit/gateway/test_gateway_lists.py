"""Parameters, forms of answers, keys: the decisions before any read."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Eta
from dronedispatch.gateway.core import export
from dronedispatch.gateway.core.contract import field_errors
from dronedispatch.gateway.core.fields import DeliveryId, DroneId
from dronedispatch.gateway.core.headers import IDEMPOTENCY_KEY, IF_MATCH, LAST_EVENT_ID, header_value
from dronedispatch.gateway.core.idempotency import (
    CLOCK_OFF_S,
    KEEP_S,
    IdemRecord,
    fingerprint,
    is_over,
    why_not_the_same,
)
from dronedispatch.gateway.core.listing import LIMIT_DEFAULT, delivery_query, drone_query
from dronedispatch.gateway.core.order import parse_order
from dronedispatch.gateway.core.refusal import BadParameter
from dronedispatch.gateway.core.why import explain, needs_dispatcher
from dronedispatch.testing.fleet import a_delivery

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
ETA = Eta(at="2026-01-01T00:10:00.000Z", confidence=0.9, basis='a, "b"')
DELIVERY = a_delivery(id=ULID, weight_kg=2.5, history=(), eta=ETA)


def test_a_list_has_a_default_limit_and_an_export_none() -> None:
    assert delivery_query({}, export=False).limit == LIMIT_DEFAULT
    assert delivery_query({}, export=True).limit is None
    assert delivery_query({"limit": ["100000"]}, export=True).limit == 100_000


def test_the_narrower_tag_is_scanned_and_the_record_decides() -> None:
    query = delivery_query({"status": ["pending"], "drone": ["d1"]}, export=False)
    assert query.tag == "drone=d1"
    assert not query.wants(DELIVERY)
    assert query.wants(msgspec.structs.replace(DELIVERY, drone_id="d1"))
    assert delivery_query({"status": ["pending"]}, export=False).tag == "status=pending"
    assert delivery_query({}, export=False).tag is None


@pytest.mark.parametrize(
    "args", [*({"limit": [limit]} for limit in ("01x", "-1", "1e3", "٣")), {"after": [""]}, {"x": ["1"]}]
)
def test_a_bad_parameter_is_named(args: dict[str, list[str]]) -> None:
    with pytest.raises(BadParameter) as caught:
        delivery_query(args, export=False)
    assert caught.value.field == next(iter(args))
    with pytest.raises(BadParameter):
        drone_query(args)


def test_ids_are_told_from_nonsense() -> None:
    assert field_errors(DeliveryId, ULID) == []
    for text in ("", ULID.lower(), ULID + "0", "8" + ULID[1:], ULID[:-1] + "U", ULID + "\n"):
        assert field_errors(DeliveryId, text)
    assert field_errors(DroneId, "drone-00001") == []
    for text in ("", "-a", "a b", "ä", "a" * 57, "a=b", "a\n"):
        assert field_errors(DroneId, text)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", export.JSON),
        ("*/*", export.JSON),
        ("text/html, */*;q=0.1", export.JSON),
        ("text/csv", export.CSV),
        ("text/*", export.CSV),
        ("application/x-ndjson;q=0.9, application/json;q=0.5", export.NDJSON),
        ("text/csv;q=0, application/json", export.JSON),
        ("TEXT/CSV; charset=utf-8", export.CSV),
        ("text/csv;q=nonsense, application/json;q=0.1", export.JSON),
    ],
)
def test_the_accepted_form_that_is_preferred_is_taken(accept: str, kind: str) -> None:
    assert export.negotiate(accept) == kind


def test_a_form_that_we_do_not_have_is_refused() -> None:
    with pytest.raises(export.NotAcceptable):
        export.negotiate("image/png")


def test_rows_read_back_as_what_they_were() -> None:
    [head, row] = csv.reader(io.StringIO((export.csv_head() + export.csv_row(DELIVERY)).decode()))
    found = dict(zip(head, row, strict=True))
    assert (found["id"], found["weight"], found["drone_id"]) == (ULID, "2.5", "")
    assert found["cause"] == ""
    assert msgspec.json.decode(export.ndjson_row(DELIVERY), type=Delivery) == DELIVERY


def test_equal_orders_have_equal_fingerprints_whatever_their_spelling() -> None:
    first = b'{"origin":{"lat":41.9,"lon":12.5},"destination":{"lat":41.91,"lon":12.5},"weight":1}'
    second = b'{"weight":1.0, "priority":0, "destination":{"lon":12.5,"lat":41.91},"origin":{"lat":41.90,"lon":12.5}}'
    other = first.replace(b'"weight":1', b'"weight":2')
    assert fingerprint(parse_order(first)) == fingerprint(parse_order(second))
    assert fingerprint(parse_order(first)) != fingerprint(parse_order(other))


def test_a_fingerprint_is_what_it_was_before_an_order_had_more_fields() -> None:
    body = b'{"origin":{"lat":41.9,"lon":12.5},"destination":{"lat":41.95,"lon":12.4},"weight":2.0}'
    assert (
        fingerprint(parse_order(body)) == "0a6c89a5089013d216db0bdbacda178f0137563b29062b81815eecf06dec510e"
    )


def test_a_key_answers_the_same_body_alone_and_is_forgotten_after_a_day() -> None:
    created_at = "1970-01-01T00:00:00.000Z"
    record = IdemRecord(fingerprint="f", delivery_id=ULID, created_at=created_at, eta=ETA)
    assert why_not_the_same(record, "f") is None
    assert ULID in (why_not_the_same(record, "g") or "")
    assert not is_over(record, KEEP_S)
    assert is_over(record, KEEP_S + CLOCK_OFF_S + 1)


def test_keys_are_short_and_visible() -> None:
    assert header_value(IDEMPOTENCY_KEY, [" a-1~! "]) == "a-1~!"
    for key in ("", "x" * 256, "ä", "a\tb", "a b", "\udcff"):
        with pytest.raises(BadParameter):
            header_value(IDEMPOTENCY_KEY, [key])
    with pytest.raises(BadParameter):
        header_value(IDEMPOTENCY_KEY, ["a", "b"])


def test_a_list_may_come_in_several_lines_and_what_is_advisory_is_never_refused() -> None:
    assert header_value(IF_MATCH, ['"1.1"', 'W/"1.2"']) == '"1.1", W/"1.2"'
    with pytest.raises(BadParameter, match="bytes that are no UTF-8"):
        header_value(IF_MATCH, ['"\udcff"'])
    assert header_value(LAST_EVENT_ID, ["\udcff", "7-1"]) == "\udcff"
    assert header_value(LAST_EVENT_ID, []) is None


def test_everything_that_is_wrong_with_a_query_is_named_at_once() -> None:
    with pytest.raises(BadParameter) as caught:
        delivery_query({"limit": ["0"], "x": ["1"], "status": ["lost"], "after": ["a", "b"]}, export=False)
    assert {error.field for error in caught.value.errors} == {"limit", "x", "status", "after"}


def test_waiting_orders_need_the_dispatcher_and_one_on_board_is_told_what_it_knows_besides() -> None:
    assert needs_dispatcher(DELIVERY)
    ended = msgspec.structs.replace(DELIVERY, status=DeliveryStatus.FAILED, ended_at="t")
    assert not needs_dispatcher(ended)
    assert explain(ended, None)["summary"] == "failed at t"
    flown = msgspec.structs.replace(DELIVERY, status=DeliveryStatus.IN_PROGRESS, drone_id="d", eta=None)
    assert explain(flown, {"summary": "is in-progress", "doubt": None}) == explain(flown, None)
    own = explain(flown, None)["summary"]
    assert explain(flown, {"doubt": "a wall"})["summary"] == f"{own}; it fails unless that changes: a wall"
    told: dict[str, object] = {"summary": "no drone is idle", "status": "other", "drones": [], "doubt": None}
    answer = explain(DELIVERY, told)
    assert (answer["summary"], answer["status"]) == ("no drone is idle", "pending")
    assert "doubt" not in answer
