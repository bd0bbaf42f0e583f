from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from scripts.local.home import Home
from scripts.local.supervisor import Supervisor

from support.live_system import LiveSystem, eventually
from support.live_traffic import Traffic

RATE_PER_S = 6.0

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def three_gateways(system: LiveSystem) -> Iterator[None]:
    """Whatever a test here came to, the next one finds what it expects."""
    yield
    assert system.script("scale", "gateway", "3").returncode == 0
    system.supervise("start", "gateway-3")


def sixty_more(traffic: Traffic, what: str) -> None:
    before = traffic.seen.requests
    eventually(lambda: traffic.seen.requests > before + 60, what, 30)


def test_gateways_grow_to_five_and_shrink_to_two_without_a_failed_request(healthy: LiveSystem) -> None:
    with Traffic(healthy, rate_per_s=RATE_PER_S, clients=8, seed=200) as traffic:
        grown = healthy.script("scale", "gateway", "5")
        assert grown.returncode == 0, grown.stderr
        assert len(healthy.passing("gateway")) == 5
        sixty_more(traffic, "five gateways serve")
        shrunk = healthy.script("scale", "gateway", "2")
        assert shrunk.returncode == 0, shrunk.stderr
        assert len(healthy.passing("gateway")) == 2
        sixty_more(traffic, "two gateways serve")
    assert traffic.seen.failures == []


def test_a_stopped_gateway_leaves_the_table_and_no_client_notices(healthy: LiveSystem) -> None:
    with Traffic(healthy, rate_per_s=RATE_PER_S, clients=8, seed=300) as traffic:
        eventually(lambda: healthy.lb_requests()["gateway-3"] > 10, "gateway-3 serves", 30)
        pid = healthy.status()["gateway-3"]["pid"]
        Supervisor(Home(healthy.home)).stop("gateway-3")
        eventually(lambda: "gateway-3" not in healthy.lb_requests(), "gateway-3 has left the table", 10)
        sixty_more(traffic, "the other two serve")
        assert set(healthy.lb_requests()) == {"gateway-1", "gateway-2"}
        assert healthy.status()["gateway-3"]["pid"] != pid
    assert traffic.seen.failures == []


def test_what_cannot_be_scaled_is_refused_in_one_sentence(system: LiveSystem) -> None:
    for arguments in (("gateway", "0"), ("gateway", "99"), ("kvstore", "2"), ("gateway", "many")):
        refused = system.script("scale", *arguments)
        assert refused.returncode in {1, 2}
        assert re.search(r"error: .+", refused.stderr.splitlines()[-1])
