"""Chromium of the distribution, driven headless, and a running system to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from support.browser_visit import Visit
from support.lanes import Lanes
from support.live_system import LiveSystem, running_system
from support.waiting import patient_s

USE_THE_SYSTEM = ("test_console.py", "test_dashboard.py", "test_page_cannot_lie.py")
LANES = Lanes(lambda file: "the running system" if file in USE_THE_SYSTEM else file)
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


PATIENCE_MS = 1000 * patient_s(60)
expect.set_options(timeout=PATIENCE_MS)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LANES)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    program = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: run scripts/setup/test-packages, or apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def system() -> Iterator[LiveSystem]:
    """72 drones, 60 simulated seconds in a second."""
    with LANES.share(running_system("browser", "--drones", "72", "--speed", "60")) as live:
        yield live


def fresh(browser: Browser, **context: Any) -> Iterator[Visit]:
    page = browser.new_page(**context)
    page.set_default_timeout(PATIENCE_MS)
    yield Visit(page)
    page.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A fresh page of a desk's size."""
    yield from fresh(browser, viewport={"width": 1440, "height": 900}, color_scheme="light")


@pytest.fixture
def phone(browser: Browser) -> Iterator[Visit]:
    """A fresh page of a phone's size, with a finger instead of a mouse, in the dark."""
    size = {"width": 390, "height": 844}
    yield from fresh(browser, viewport=size, color_scheme="dark", device_scale_factor=2, has_touch=True)
