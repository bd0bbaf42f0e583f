"""What a body must be to become an order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Eta
from dronedispatch.gateway.core.body import BOM, parse_json
from dronedispatch.gateway.core.fields import moment, why_no_moment
from dronedispatch.gateway.core.order import (
    new_delivery,
    parse_deadline,
    parse_order,
    parse_priority,
    refuse_past,
    refuse_trip,
    trip_errors,
)
from dronedispatch.gateway.core.refusal import BadField, NoJson

ORIGIN, DESTINATION = {"lat": 41.89, "lon": 12.49}, {"lat": 41.91, "lon": 12.48}
GOOD = {"origin": ORIGIN, "destination": DESTINATION, "weight": 2}


def body(**changes: object) -> bytes:
    return msgspec.json.encode(GOOD | changes)


def weighing(raw: bytes) -> bytes:
    """A good body, but with `raw` in the place of its weight."""
    return body().replace(b'"weight":2', raw)


def outcome(raw: bytes) -> str:
    try:
        parse_order(raw)
    except (NoJson, BadField) as refusal:
        return str(refusal)
    return "an order"


def errors_of(raw: bytes) -> dict[str, str]:
    with pytest.raises(BadField) as caught:
        parse_order(raw, lambda members: trip_errors(members, default_city(), 1e9))
    return {error.field: error.detail for error in caught.value.errors}


def test_whole_numbers_are_numbers_and_what_is_optional_has_defaults() -> None:
    order = parse_order(body())
    assert (order.weight_kg, order.priority, order.deadline) == (2.0, 0, None)


@pytest.mark.parametrize("name", ["origin", "destination", "weight"])
def test_a_missing_field_is_named(name: str) -> None:
    raw = msgspec.json.encode({key: value for key, value in GOOD.items() if key != name})
    assert set(errors_of(raw)) == {name}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weight": None}, "weight"),
        ({"weight": "2"}, "weight"),
        ({"weight": True}, "weight"),
        ({"weight": 0}, "weight"),
        ({"weight": 10.000001}, "weight"),
        ({"origin": [41.89, 12.49]}, "origin"),
        ({"origin": {**ORIGIN, "alt": 3}}, "origin.alt"),
        ({"priority": 1.5}, "priority"),
        ({"priority": -1}, "priority"),
        ({"priority": None}, "priority"),
        ({"deadline": 5}, "deadline"),
        ({"deadline": "2030-01-01"}, "deadline"),
        ({"deadline": "2030-01-01T00:00:00"}, "deadline"),
        ({"deadline": "2030-02-31T00:00:00Z"}, "deadline"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_refusal_names_the_field(changes: dict[str, object], field: str) -> None:
    assert set(errors_of(body(**changes))) == {field}


def test_everything_that_is_wrong_is_named_at_once() -> None:
    ends = {"origin": {"lat": 45.46, "lon": 9.19}, "destination": {"lat": "x", "alt": 1}}
    others = {"weight": 0, "priority": 1.5, "deadline": "2001-01-01T00:00:00Z", "colour": "red"}
    named = {"origin", "destination.lat", "destination.lon", "destination.alt", *others}
    assert set(errors_of(body(**ends, **others))) == named


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ("10.0000001", "is 10.0000001 kg, and no drone carries more than 10 kg"),
        ("10.000000000000002", "is 10.000000000000002 kg, and no drone carries more than 10 kg"),
        ("-1e-9", "is -1e-09 kg, and must be greater than 0 kg"),
        ("0", "is 0 kg, and must be greater than 0 kg"),
        ("1e999", "is too great a number"),
        ("9" * 400, "is too great a number"),
        ("9" * 10_000, "is too great a number"),
    ],
)
def test_a_limit_is_told_by_a_true_sentence(weight: str, said: str) -> None:
    assert errors_of(weighing(b'"weight":' + weight.encode())) == {"weight": said}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("origin.lat", 90.0000001, "is 90.0000001 degrees, and the most is 90 degrees"),
        ("origin.lon", -180.00000001, "is -180.00000001 degrees, and must be -180 degrees or more"),
    ],
)
def test_a_limit_of_degrees_is_told_by_a_true_sentence(field: str, value: float, said: str) -> None:
    origin = ORIGIN | {field.partition(".")[2]: value}
    assert errors_of(body(origin=origin)) == {field: said}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'"weight":2,"weight":2', "weight"),
        (b'"weight":2,"priority":1,"priority":1', "priority"),
        (b'"weight":2,"deadline":null,"deadline":null', "deadline"),
        (b'"weight":2,"w\\u0065ight":2', "weight"),
        (b'"weight":2,"x":{"a":[{"b":1,"b":1}]}', "x.a[0].b"),
    ],
)
def test_a_member_that_stands_twice_is_refused_by_its_path(raw: bytes, field: str) -> None:
    assert errors_of(weighing(raw))[field] == "stands more than once in the same object"


def test_half_a_surrogate_pair_is_refused_wherever_it_stands() -> None:
    found = errors_of(weighing(b'"weight":2,"deadline":"\\ud800","\\udfff":1'))
    assert set(found) == {"deadline", "\\udfff"}


def test_a_whole_number_may_be_written_with_a_point_and_a_mark_may_go_before() -> None:
    assert parse_order(BOM + weighing(b'"weight":2,"priority":3.0')).priority == 3


def test_a_deep_nesting_is_refused() -> None:
    found = errors_of(weighing(b'"weight":2,"x":' + b"[" * 200 + b"]" * 200))
    assert "is nested more than 64 deep" in found.values()
    with pytest.raises(NoJson):
        parse_order(weighing(b'"weight":2,"x":' + b"[" * 100_000))


def test_a_time_that_no_calendar_has_is_refused() -> None:
    for text in ("2030-02-31T00:00:00Z", "9999-12-31T23:59:59-23:00", "2030-01-01T00:00:00Z\n"):
        assert why_no_moment(text) is not None
        assert set(errors_of(body(deadline=text))) == {"deadline"}


@given(st.binary(max_size=200))
def test_any_bytes_become_an_order_or_a_named_refusal(raw: bytes) -> None:
    assert outcome(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["origin", "lat", "weight", "x"]), inner)
        ),
        max_leaves=10,
    )
)
def test_any_json_value_becomes_an_order_or_a_named_refusal(value: object) -> None:
    assert outcome(msgspec.json.encode(value))


@pytest.mark.parametrize(
    "raw", [b"NaN", b"[Infinity]", b'{"a":-Infinity}', b"", b"\xff", b"{", b"[" * 100_000]
)
def test_what_is_no_json_is_told_apart(raw: bytes) -> None:
    with pytest.raises(NoJson):
        parse_json(raw)


@pytest.mark.parametrize(
    ("text", "stamped"),
    [
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000Z"),
        ("0068-06-19T23:34:13Z", "0068-06-19T23:34:13.000Z"),
        ("2030-01-01t01:30:00.25+01:30", "2030-01-01T00:00:00.250Z"),
    ],
)
def test_moments_become_our_own_stamp_in_utc(text: str, stamped: str) -> None:
    assert moment(text) == stamped


def test_both_ends_must_be_served_by_the_city() -> None:
    city = default_city()
    for end in ("origin", "destination"):
        order = parse_order(body(**{end: {"lat": 45.46, "lon": 9.19}}))
        with pytest.raises(BadField) as caught:
            refuse_trip(order, city, 0.0)
        assert (caught.value.field, "outside the city" in caught.value.reason) == (end, True)
    refuse_trip(parse_order(body()), city, 0.0)


def test_a_deadline_must_lie_ahead() -> None:
    refuse_past(None, 0.0)
    refuse_past("1970-01-01T00:00:10.000Z", 9.0)
    with pytest.raises(BadField):
        refuse_past("1970-01-01T00:00:10.000Z", 10.0)


def test_changes_take_exactly_their_field() -> None:
    assert parse_priority(b'{"priority": 9}') == 9
    assert parse_deadline(b'{"deadline": null}') is None
    with pytest.raises(BadField):
        parse_priority(b'{"priority": 1, "deadline": null}')
    with pytest.raises(BadField):
        parse_deadline(b"{}")


def test_a_repeated_attempt_makes_the_same_delivery() -> None:
    order, eta = parse_order(body()), Eta(at="x", confidence=0.5, basis="y")
    first, second = (
        new_delivery(order, delivery_id="01", created_at="t", eta=eta, request_id="r") for _ in range(2)
    )
    assert first == second
    assert first.history[0].to is first.status
