"""Tells the runner of the suites, line by line, how far pytest is: how many tests there are, and how each one ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "TEST_PROGRESS"
"""The file to write to."""


class Progress:
    """A plugin of the process that reports; the workers of xdist stay silent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended: dict[str, str] = {}
        self._total = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._count(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._count(len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, call and tear-down of a test are reported apart: the worst of the three is how it ended."""
        before = self._ended.get(report.nodeid)
        if report.failed or (report.skipped and before is None):
            self._ended[report.nodeid] = report.outcome
        elif before is None and report.when == "call":
            self._ended[report.nodeid] = "passed"
        if report.when == "teardown":
            self._tell({"id": report.nodeid, "outcome": self._ended.get(report.nodeid, "passed")})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tell({"id": report.nodeid, "outcome": "failed"})

    def _count(self, total: int) -> None:
        if total > self._total:
            self._total = total
            self._tell({"total": total})

    def _tell(self, said: dict[str, object]) -> None:
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(said) + "\n")
