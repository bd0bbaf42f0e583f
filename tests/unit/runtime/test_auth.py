"""Who shows no token, or another one, is refused, whatever bytes he shows."""

from __future__ import annotations

import pytest

from dronedispatch.runtime.auth import check_bearer
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.settings import Secret

WANTED = Secret("right", ("older",))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic right",
        "right",
        "Bearer righ",
        "Bearer \u00e4",
        "Bearer \udcff\udcfe",
        "\udcff \udcff",
    ],
)
def test_what_is_no_token_is_a_401(header: str | None) -> None:
    """A header's bytes that are no UTF-8 come as halves of surrogate pairs."""
    for wanted in (WANTED, None):
        with pytest.raises(Problem) as refused:
            check_bearer(header, wanted, "operator")
        assert refused.value.status == 401


@pytest.mark.parametrize("header", ["Bearer right", "bearer older", "BEARER  right "])
def test_a_token_and_the_one_before_it_come_in(header: str) -> None:
    check_bearer(header, WANTED, "operator")
