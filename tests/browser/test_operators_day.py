"""An operator's day of twelve tasks in the page: by keyboard alone, and with a finger on a phone of 390 x 844."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from dronedispatch.testing.gateway import OPERATOR_TOKEN
from support.aside import aside
from support.browser_visit import Visit, live
from support.hands import Finger, Hand, Keyboard
from support.quiet_town import PLACE, TRIP, quiet_town

pytestmark = pytest.mark.real

NO_FLY = "41.885, 12.586\n41.885, 12.595\n41.895, 12.5905"
CLIPPED_OR_SMALL = """() => [...document.querySelectorAll("button, a, input, select, summary")].filter((one) => {
    if (getComputedStyle(one).clipPath !== "none") return false; // for the keyboard alone: shown when it has the focus
    const { width, height, left, right } = (one.closest("label") || one).getBoundingClientRect(); // a label is pressed too
    const away = one.closest(".figures, .layers") !== null;
    return width > 0 && (width < 24 || height < 24 || (!away && (left < 0 || right > innerWidth)));
}).map((one) => one.outerHTML.slice(0, 100))"""


def told(page: Page, text: str) -> None:
    expect(page.locator("#action tbody td.done").first).to_contain_text(text)


def is_a_sheet_from_below(page: Page) -> None:
    box = page.locator("#card").bounding_box()
    assert box is not None
    assert (round(box["x"]), round(box["width"]), round(box["y"] + box["height"])) == (0, 390, 844)
    assert box["y"] > 844 * 0.3


def work_of_a_morning(hand: Hand) -> None:
    """1 how the system is, 2 times, 3 sign in, 4 place, 5 why, 6 priority, 7 deadline."""
    page = hand.page
    hand.press("#health")
    expect(page.locator("#health-reasons")).to_contain_text("The system is")
    hand.leave()
    expect(page.locator("#health-reasons")).to_be_hidden()

    hand.press("#clock")
    expect(page.locator("#clock")).to_contain_text("local")

    hand.press("#operator")
    hand.write("#sign-in [name=token]", OPERATOR_TOKEN)
    hand.press("#sign-in [type=submit]")
    expect(page.locator("#operator")).to_have_text("Sign out")

    hand.tab("order")
    for name, value in TRIP.items():
        hand.write(f"#order-form [name='{name}']", value)
    hand.press("#order-form [type=submit]")
    card = page.locator("#card")
    expect(card.locator("[data-part=why]")).not_to_be_empty()
    expect(card.locator("[data-action]")).to_have_count(3)

    hand.press("#card [data-action=priority]")
    expect(page.locator("#action tbody")).to_contain_text("priority 0")
    hand.write("#action [name=priority]", "7")
    hand.press("#action [data-part=apply]")
    told(page, "done")
    hand.leave()
    expect(page.locator("#card [data-action=priority]")).to_be_focused()  # no focus is lost

    hand.press("#card [data-action=deadline]")
    expect(page.locator("#action tbody")).to_contain_text("deadline none")
    hand.moment("#action [name=deadline]")
    hand.press("#action [data-part=apply]")
    told(page, "done")
    hand.leave()
    expect(card).to_contain_text("2030")


def work_on_many(hand: Hand, waiting: str = "pending") -> None:
    """8 search, 9 several at once and back, 10 cancel, several and one that is `waiting`: pending, or assigned."""
    page = hand.page
    placed = page.locator("#card .whole code").inner_text()
    hand.leave()
    expect(page.locator("#card")).to_be_hidden()
    hand.tab("deliveries")
    hand.write("#delivery-search", placed[:22])
    page.keyboard.press("Enter")
    expect(page.locator("#system-search [data-part=answer]")).to_contain_text("found in the system")
    expect(page.locator("#delivery-table tbody tr").first).to_have_attribute("data-id", placed)
    hand.write("#delivery-search", "")
    expect(page.locator("#system-search [data-part=answer]")).to_be_empty()

    hand.pick("#delivery-table", 2)
    hand.press("#delivery-bulk [data-bulk=priority]")
    expect(page.locator("#action tbody")).not_to_contain_text("reading")
    hand.write("#action [name=priority]", "9")
    hand.press("#action [data-part=apply]")
    expect(page.locator("#action [data-part=sum]")).to_have_text("2 done, 0 not.")
    hand.press("#action [data-part=undo]")
    expect(page.locator("#action [data-part=sum]")).to_have_text("2 taken back, 0 not.")
    hand.leave()

    hand.press("#delivery-bulk [data-bulk=cancel]")
    expect(page.locator("#action tbody")).to_contain_text("cancelled for good")
    hand.press("#action [data-part=apply]")
    expect(page.locator("#action [data-part=sum]")).to_have_text("2 done, 0 not.")
    hand.leave()
    hand.press("#delivery-bulk [data-bulk=none]")

    hand.press(f"#delivery-chips [data-status={waiting}]")
    hand.open_row("#delivery-table")
    hand.press("#card [data-action=cancel]")
    expect(page.locator("#action tbody")).to_contain_text("cancelled for good")
    hand.press("#action [data-part=apply]")
    told(page, "done")
    hand.leave()  # the button that opened it is gone: nothing is left to cancel
    expect(page.locator("#card [data-action]")).to_have_count(0)
    expect(page.locator("#card")).not_to_contain_text("none yet")  # it never gets a drone
    if isinstance(hand, Keyboard):  # the button that had the focus is gone: the card has it now
        expect(page.locator("#card :focus")).to_have_count(1)
    hand.leave()
    expect(page.locator("#card")).to_be_hidden()
    hand.press(f"#delivery-chips [data-status={waiting}]")


def work_on_the_fleet(hand: Hand) -> None:
    """11 a drone out of service and back, a no-fly area and back, 12 the figures, and away."""
    page = hand.page
    hand.tab("drones")
    hand.open_row("#drone-table")
    if isinstance(hand, Finger):
        is_a_sheet_from_below(page)
    hand.press("#card [data-action=service]")
    expect(page.locator("#action tbody")).to_contain_text("retires")
    hand.press("#action [data-part=apply]")
    told(page, "done")
    hand.press("#action [data-part=undo]")
    told(page, "taken back")
    hand.leave()
    hand.leave()
    expect(page.locator("#card")).to_be_hidden()
    if isinstance(hand, Keyboard):  # back where it was opened
        expect(page.locator("#drone-table tbody tr").first).to_be_focused()

    hand.press("#no-fly-open")
    hand.write("#no-fly [name=corners]", NO_FLY)
    hand.press("#no-fly [data-part=apply]")
    expect(page.locator("#no-fly [data-part=answer]")).to_contain_text("Stored")
    hand.press("#no-fly [data-part=undo]")
    expect(page.locator("#no-fly [data-part=answer]")).to_contain_text("Taken back")
    hand.leave()
    expect(page.locator("#no-fly")).to_be_hidden()

    hand.press("#history-open")
    expect(page.locator("#history .hint")).to_contain_text("points of")
    with page.expect_download() as saved:
        hand.press("#history-csv")
    assert saved.value.suggested_filename == "figures.csv"
    hand.leave()
    hand.press("#operator")
    expect(page.locator("#operator")).to_have_text("Sign in")


@pytest.mark.parametrize("make", [Keyboard, Finger])
def test_a_day_of_twelve_tasks_is_done_by_keyboard_alone_and_with_a_finger_on_a_phone(
    browser: Browser, make: Callable[[Page], Hand]
) -> None:
    phone = make is Finger
    size = ViewportSize(width=390, height=844) if phone else ViewportSize(width=1024, height=768)
    with aside(quiet_town) as (_, url):
        visit = Visit(browser.new_page(viewport=size, has_touch=phone, locale="en-US"))
        hand = make(visit.page)
        live(visit.page, url)
        visit.page.evaluate(PLACE, 3)
        for work in (work_of_a_morning, work_on_many, work_on_the_fleet):
            work(hand)
            visit.keep_picture(f"day-{make.__name__.lower()}-{work.__name__}")
            if phone:
                assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
                assert visit.page.evaluate(CLIPPED_OR_SMALL) == []
        assert [fault for fault in visit.faults if "page error" in fault] == []
        visit.page.close()
