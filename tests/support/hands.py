"""Two ways to work in the page: by keyboard alone, and with one finger on a phone."""

from __future__ import annotations

from playwright.sync_api import Page, expect

STOPS_MAX = 80
OPEN = ", ".join(
    (
        "dialog[open] [data-close]",
        "dialog[open] [aria-label=Close]",
        ".card:not([hidden]) .close",
        ".reasons:not([hidden]) .close",
    )
)
WHERE = """(wanted) => {
    const here = document.activeElement;
    if (here.matches(wanted)) return "here";
    const there = document.querySelector(wanted);
    return there && here.compareDocumentPosition(there) & Node.DOCUMENT_POSITION_PRECEDING ? "Shift+Tab" : "Tab";
}"""


class Keyboard:
    """Every key goes to what has the focus."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def reach(self, selector: str) -> None:
        """By the Tab key alone, in the direction in which it is."""
        for _ in range(STOPS_MAX):
            where = self.page.evaluate(WHERE, selector)
            if where == "here":
                return
            self.page.keyboard.press(where)
        raise AssertionError(f"{selector} is not reached by Tab")

    def press(self, selector: str) -> None:
        """A button, a link, a summary: what a person sees, reached as this person reaches it."""
        self.reach(selector)
        self.page.keyboard.press("Enter")
        self.keeps_its_place()

    def keeps_its_place(self) -> None:
        """What vanished has taken no focus with it: the next Tab goes on from where one is, not from the top."""
        expect(self.page.locator("body")).not_to_be_focused()

    def write(self, selector: str, text: str) -> None:
        self.reach(selector)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def moment(self, selector: str) -> None:
        """New Year's Eve 2030, 23:59, into a field for a moment."""
        self.reach(selector)
        for keys in ("12", "31", "2030", "1159PM"):
            self.page.keyboard.type(keys)  # after four digits of a year the field goes on to the hour

    def tab(self, name: str) -> None:
        self.press("#skip")
        wanted = self.page.locator(f"[data-tab={name}]")
        while wanted.get_attribute("aria-selected") != "true":
            self.page.keyboard.press("ArrowRight")

    def pick(self, table: str, rows: int) -> None:
        self.reach(f"{table} tbody tr")
        for at in range(rows):
            self.page.keyboard.press("Home")
            for _ in range(at):
                self.page.keyboard.press("ArrowDown")
            self.page.keyboard.press("Space")

    def open_row(self, table: str) -> None:
        self.press(f"{table} tbody tr")
        expect(self.page.locator("#card h3")).to_be_focused()

    def leave(self) -> None:
        self.page.keyboard.press("Escape")
        self.keeps_its_place()


class Finger:
    """Taps what is seen and not covered. A text comes from the phone's own keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, selector: str) -> None:
        self.page.locator(selector).first.tap()

    def write(self, selector: str, text: str) -> None:
        self.press(selector)
        self.page.locator(selector).fill(text)

    def moment(self, selector: str) -> None:
        self.write(selector, "2030-12-31T23:59")

    def tab(self, name: str) -> None:
        self.press(f"[data-tab={name}]")

    def pick(self, table: str, rows: int) -> None:
        for at in range(rows):
            self.page.locator(f"{table} tbody tr input").nth(at).tap()

    def open_row(self, table: str) -> None:
        self.page.locator(f"{table} tbody tr").first.tap()

    def leave(self) -> None:
        self.page.locator(OPEN).last.tap()


Hand = Keyboard | Finger
