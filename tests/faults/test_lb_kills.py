"""Real processes: gateways and doors end under load, and no client notices. The long versions: `scripts/bench lb`."""

from __future__ import annotations

import signal

import pytest
from loadtests.bench.lb_scenes import exchange_doors, failover

from support.real_parts import needs

pytestmark = pytest.mark.real


def unheard(_line: str) -> None:
    """The scenes tell their story to nobody here."""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_gateways_that_end_one_after_another_cost_no_client_an_error_and_no_order_a_twin(
    how: signal.Signals,
) -> None:
    needs("haproxy")
    found = await failover(6.0, 2.0, how, unheard)
    assert [finding for finding in found if not finding.good] == []


async def test_two_doors_on_one_socket_are_exchanged_without_a_failed_request() -> None:
    found = await exchange_doors(1, unheard)
    assert [finding for finding in found if not finding.good] == []
