"""The three hosts, started once for the tests that look at them and hurt them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.lanes import Lanes
from support.three_hosts import ThreeHosts, three_hosts

LANES = Lanes(lambda file: "three hosts" if file.startswith("test_three_hosts") else file)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LANES)


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeHosts]:
    with LANES.share(three_hosts(tmp_path_factory.mktemp("three-hosts"), secure=True)) as system:
        yield system


@pytest.fixture
def healthy(hosts: ThreeHosts) -> ThreeHosts:
    """The same, with every instance passing before the test begins: the test before may have hurt it."""
    hosts.wait_healthy(90)
    return hosts
