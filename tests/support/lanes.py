"""Files that share a dear thing run one after the other in one worker, and it ends with the last of them.

pytest would keep a session's fixture until the worker has nothing left to do: three hosts that nobody looks at take nearly
half of a core. Not `--dist loadgroup`: xdist 3.8 marks a test's group in its id, which pytest 9 does not let it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

T = TypeVar("T")
LaneOf = Callable[[str], str]
"""The lane of a file, by its name."""


class _ByLane(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    def __init__(self, config: pytest.Config, log: Producer, lane_of: Callable[[str], str]) -> None:
        super().__init__(config, log)
        self._lane_of = lane_of

    def _split_scope(self, nodeid: str) -> str:
        return self._lane_of(nodeid)


class Lanes:
    """A plugin, which a suite's conftest registers."""

    def __init__(self, lane_of: LaneOf) -> None:
        self._lane_of_file = lane_of
        self._held = contextlib.ExitStack()

    @contextlib.contextmanager
    def share(self, thing: contextlib.AbstractContextManager[T]) -> Iterator[T]:
        """For a fixture of the session: `thing` ends with the lane in which it was asked for first."""
        try:
            yield self._held.enter_context(thing)
        finally:
            self._held.close()

    def _lane_of(self, nodeid: str) -> str:
        return self._lane_of_file(nodeid.partition("::")[0].rpartition("/")[2])

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The files of a lane one after the other, with one process too, where the alphabet would part them."""
        lanes = list(dict.fromkeys(self._lane_of(item.nodeid) for item in items))
        items.sort(key=lambda item: lanes.index(self._lane_of(item.nodeid)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> LoadScopeScheduling:
        return _ByLane(config, log, self._lane_of)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        if nextitem is None or self._lane_of(nextitem.nodeid) != self._lane_of(item.nodeid):
            self._held.close()
