from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from scripts.local import options
from scripts.local.options import Options
from scripts.local.trouble import Trouble
from scripts.local.up import decide, why_not_listen


def before(**changed: Any) -> Options:
    return dataclasses.replace(Options(), **changed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rf": 0},
        {"rf": 4},
        {"kvstores": 0},
        {"gateways": 33},
        {"drones": 0},
        {"tick_ms": 1},
        {"speed": 0.0},
        {"speed": float("nan")},
        {"speed": float("inf")},
        {"orders_per_minute": -1.0},
        {"port_base": 80},
        {"listen": "dröhnen..example"},  # no name, and Python's own word for that is no OSError
        {"listen": "::1"},  # supervisord, which holds the socket, knows no IPv6
    ],
)
def test_an_impossible_option_is_refused_in_one_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(Trouble, match=r"see scripts/up --help$"):
        decide(wrong, None)


def test_an_empty_home_starts_with_the_defaults() -> None:
    assert decide({}, None) == Options()


def test_one_kvstore_alone_lowers_the_number_of_copies_by_itself() -> None:
    assert decide({"kvstores": 1}, None).rf == 1


def test_what_belongs_to_the_data_is_kept_and_the_rest_is_not() -> None:
    again = decide({}, before(kvstores=5, rf=3, drones=7, speed=60.0))
    assert again == dataclasses.replace(Options(), kvstores=5, rf=3)


def test_fewer_kvstores_than_hold_the_data_are_refused() -> None:
    with pytest.raises(Trouble, match="lies on 5 kvstores"):
        decide({"kvstores": 3}, before(kvstores=5))


def test_another_number_of_copies_than_the_data_has_is_refused() -> None:
    with pytest.raises(Trouble, match="--rf 2"):
        decide({"rf": 3}, before())


def test_only_options_that_were_given_are_passed_on() -> None:
    request = options.parse(["--drones", "72", "--speed", "60", "--detach"])
    assert request.given == {"drones": 72, "speed": 60.0}
    assert request.detach


def test_every_option_has_a_line_in_the_help() -> None:
    text = options.parser().format_help()
    given = re.findall(r"--([a-z-]+)", text)
    wanted = {field.name.replace("_", "-") for field in dataclasses.fields(Options)}
    assert wanted | {"home", "detach", "fresh", "check"} <= set(given)


@pytest.mark.parametrize(
    ("listen", "environ", "fine"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("0.0.0.0", {}, False),
        ("192.168.1.5", {}, False),
        ("0.0.0.0", {"LB_PLAIN": "clients"}, True),
        ("0.0.0.0", {"LB_TLS_CERT": "/c.pem", "LB_TLS_KEY": "/k.pem"}, True),
    ],
)
def test_beyond_this_machine_the_door_wants_tls_or_a_word(
    listen: str, environ: dict[str, str], fine: bool
) -> None:
    assert (why_not_listen(listen, environ) is None) is fine
