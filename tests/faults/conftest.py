"""Every worker has a network of its own: what these tests do to it is told to nobody else on the machine."""

from __future__ import annotations

from support import netns


def pytest_configure() -> None:
    netns.leave_the_machine()
