"""The three hosts, started once for the tests that look at them and hurt them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from support.three_hosts import ThreeHosts, three_hosts


class OneNetwork(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Files side by side (`-n 2`), but those of the three hosts one after the other: they share one system."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "three hosts" if "test_three_hosts" in file else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Not `--dist loadgroup`: xdist 3.8 marks a test's group in its id, which pytest 9 does not let it."""
    return OneNetwork(config, log)


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeHosts]:
    with three_hosts(tmp_path_factory.mktemp("three-hosts"), secure=True) as system:
        yield system


@pytest.fixture
def healthy(hosts: ThreeHosts) -> ThreeHosts:
    """The same, with every instance passing before the test begins: the test before may have hurt it."""
    hosts.wait_healthy(90)
    return hosts
