"""The three hosts, started once for the tests that look at them and hurt them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from three_hosts import ThreeHosts, three_hosts


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeHosts]:
    with three_hosts(tmp_path_factory.mktemp("three-hosts"), secure=True) as system:
        yield system


@pytest.fixture
def healthy(hosts: ThreeHosts) -> ThreeHosts:
    """The same, with every instance passing before the test begins: the test before may have hurt it."""
    hosts.wait_healthy(90)
    return hosts
