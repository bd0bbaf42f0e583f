"""axe-core, Deque's rules for what a person with a disability can use, run in the page that is open."""

from __future__ import annotations

from importlib import resources

from playwright.sync_api import Page

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js")


def violations(page: Page) -> list[str]:
    """What axe finds on the page as it is now: impact, rule, elements. `AXE` has been evaluated in it."""
    found: list[str] = page.evaluate(
        """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
            one => `${one.impact} ${one.id}: ${one.nodes.map(node => node.target).join(", ")}`)"""
    )
    return found
