"""What a body must be to become an order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Eta
from dronedispatch.gateway.core.body import BadField, NoJson, moment, parse_json
from dronedispatch.gateway.core.order import (
    new_delivery,
    parse_deadline,
    parse_order,
    parse_priority,
    refuse_outside,
    refuse_past,
)

GOOD = {
    "origin": {"lat": 41.89, "lon": 12.49},
    "destination": {"lat": 41.91, "lon": 12.48},
    "weight": 2,
}


def body(**changes: object) -> bytes:
    return msgspec.json.encode(GOOD | changes)


def outcome(raw: bytes) -> str:
    try:
        parse_order(raw)
    except (NoJson, BadField) as refusal:
        return str(refusal)
    return "an order"


def test_whole_numbers_are_numbers_and_what_is_optional_has_defaults() -> None:
    order = parse_order(body())
    assert (order.weight_kg, order.priority, order.deadline) == (2.0, 0, None)


@pytest.mark.parametrize("name", ["origin", "destination", "weight"])
def test_a_missing_field_is_named(name: str) -> None:
    raw = msgspec.json.encode({key: value for key, value in GOOD.items() if key != name})
    with pytest.raises(BadField) as caught:
        parse_order(raw)
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weight": None}, "weight"),
        ({"weight": "2"}, "weight"),
        ({"weight": True}, "weight"),
        ({"weight": 0}, "weight"),
        ({"weight": 10.000001}, "weight"),
        ({"origin": [41.89, 12.49]}, "origin"),
        ({"origin": {"lat": 41.89, "lon": 12.49, "alt": 3}}, "origin.alt"),
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
    with pytest.raises(BadField) as caught:
        parse_order(body(**changes))
    assert caught.value.field == field


def test_a_number_beyond_doubles_is_refused_and_not_a_crash() -> None:
    with pytest.raises((BadField, NoJson)):
        parse_order(body().replace(b'"weight":2', b'"weight":1' + b"0" * 400))


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
    assert moment(text, "deadline") == stamped


def test_both_ends_must_be_served_by_the_city() -> None:
    city = default_city()
    for end in ("origin", "destination"):
        order = parse_order(body(**{end: {"lat": 45.46, "lon": 9.19}}))
        with pytest.raises(BadField) as caught:
            refuse_outside(order, city)
        assert (caught.value.field, "outside the city" in caught.value.reason) == (end, True)
    refuse_outside(parse_order(body()), city)


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
