"""A page in a real browser, as browser tests look at it."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, expect
from scripts.local.home import CHECKOUT

from dronedispatch.testing.gateway import OPERATOR_TOKEN
from support.waiting import wait_until

PICTURES = CHECKOUT / ".artifacts" / "browser"
BUSY = re.compile(r"responded with a status of 50[34] ")
"""The browser's own line about an answer by which a system on a slow machine says that it is busy: the page asks again."""


class Visit:
    """One page, with everything that went wrong on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.asked: set[str] = set()
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("console", self._hear)
        page.on("request", lambda request: self.asked.add(request.url))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error" and not BUSY.search(said.text):
            self.faults.append(said.text)

    def keep_picture(self, name: str) -> Path:
        """A screenshot as an artefact."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def wait_for(self, expression: str, what: str, ordinary_s: float = 20.0) -> None:
        """Until a JavaScript expression is true. Playwright's own waiting needs eval, which the page's policy forbids."""
        wait_until(lambda: self.page.evaluate(expression), what, ordinary_s)


def live(page: Page, url: str, place: str = "") -> None:
    """The dashboard at `place` of itself, when it is live."""
    page.goto(f"{url}/dashboard{place}")
    expect(page.locator("#link")).to_have_attribute("data-state", "live")


def live_with_fleet(visit: Visit, url: str, place: str = "", drones: int = 72) -> None:
    """And shows every drone."""
    live(visit.page, url, place)
    visit.wait_for(f"droneDispatch.world.drones.size === {drones}", "the whole fleet is there")


def row_of(page: Page, delivery_id: str) -> Locator:
    """The row of an order."""
    return page.locator(f"#delivery-table tr[data-id='{delivery_id}']")


def type_token(page: Page, token: str = OPERATOR_TOKEN) -> None:
    """Into the dialog that asks for it."""
    page.fill("#sign-in [name=token]", token)
    page.keyboard.press("Enter")
