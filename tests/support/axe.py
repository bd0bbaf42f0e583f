"""axe-core, Deque's rules for what a person with a disability can use, run in the page that is open."""

from __future__ import annotations

from importlib import resources

from playwright.sync_api import Page

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js")


CONTRAST = {"runOnly": ["color-contrast"]}  # all that another theme may change


def violations(page: Page, options: dict[str, list[str]] | None = None) -> list[str]:
    """What axe finds on the page as it is now: impact, rule, elements. `AXE` has been evaluated in it."""
    found: list[str] = page.evaluate(
        """async (options) => (await axe.run(document, { resultTypes: ["violations"], ...options })).violations.map(
            one => `${one.impact} ${one.id}: ${one.nodes.map(node => node.target).join(", ")}`)""",
        options or {},
    )
    return found
