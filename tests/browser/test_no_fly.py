"""A no-fly area drawn by hand: what it would do is seen first, and nothing is stored that nobody confirmed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from support.aside import aside
from support.browser_visit import Visit, live, row_of, type_token
from support.quiet_town import PLACE, quiet_town

pytestmark = pytest.mark.real

CHARGE_POINT = "41.93, 12.42\n41.94, 12.42\n41.94, 12.44\n41.93, 12.44"
AROUND_ORIGIN = "41.885, 12.486\n41.885, 12.495\n41.895, 12.4905"


@pytest.fixture
def url() -> Iterator[str]:
    with aside(quiet_town) as (_, found):
        yield found


NO_FLY = """async () => {
    const city = await (await fetch("/zones")).json();
    return city.features.filter(one => one.properties.kind === "no_fly").map(one => one.properties.name);
}"""
DRAWN_AT = """([lat, lon]) => {
    const view = droneDispatch.world.projection;
    const at = view.metres(lat, lon);
    return [view.px(at.x), view.py(at.y)];
}"""
SOMEBODY_ELSE = """async () => {
    const { zones, replaceZones } = await import("/dashboard/js/api.js");
    const { city, etag } = await zones();
    await replaceZones({ ...city, note: "somebody else" }, etag);
}"""


def click_map(page: Page, lat: float, lon: float) -> None:
    """Where this place is drawn."""
    x, y = page.evaluate(DRAWN_AT, [lat, lon])
    page.locator("#sky").click(position={"x": x, "y": y})


def drawn_by_mouse_and_given_up(visit: Visit, placed: str) -> None:
    """The order that it would strand is named before anything is sent, and Escape leaves nothing behind."""
    page = visit.page
    for lat, lon in ((41.885, 12.485), (41.885, 12.495), (41.895, 12.49)):
        expect(page.locator("#no-fly [data-part=apply]")).to_be_disabled()
        click_map(page, lat, lon)
    said = f"1 open order with an end inside, to fail if the area stays: …{placed[-7:]}"
    expect(page.locator("#no-fly [data-part=effect]")).to_contain_text(said)
    visit.keep_picture("no-fly-preview")
    page.keyboard.press("Escape")
    expect(page.locator("#no-fly")).to_be_hidden()
    assert page.evaluate("droneDispatch.world.sketch") is None


def drawn_by_keyboard(page: Page) -> None:
    """The map's middle is a corner, and can be taken back."""
    page.keyboard.press("Enter")
    expect(page.locator("#no-fly")).to_be_visible()
    page.locator("#sky").focus()
    for key in ("Enter", "ArrowLeft", "Enter", "Backspace"):
        page.keyboard.press(key)
    assert len(page.locator("#no-fly [name=corners]").input_value().splitlines()) == 1


def refused_by_field(page: Page) -> None:
    """What the system refuses is said before, and then by the system's own word at the field."""
    corners, wrong = page.locator("#no-fly [name=corners]"), page.locator("#no-fly .wrong")
    corners.fill("41.89 north")
    expect(wrong).to_contain_text("Line 1")
    corners.fill(CHARGE_POINT)
    effect = page.locator("#no-fly [data-part=effect]")
    expect(effect).to_contain_text("It would be refused: the charge point")
    page.click("#no-fly [data-part=apply]")
    expect(corners).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_contain_text("no-fly area")
    corners.fill(AROUND_ORIGIN)
    page.fill("#no-fly [name=name]", "n" * 201)
    page.click("#no-fly [data-part=apply]")
    expect(page.locator("#no-fly [name=name]")).to_have_attribute("aria-invalid", "true")


def test_an_area_is_drawn_previewed_given_up_refused_by_field_stored_taken_back_and_removed(
    visit: Visit, url: str
) -> None:
    page = visit.page
    live(page, url)
    [placed] = page.evaluate(PLACE, 1)
    expect(row_of(page, placed)).to_be_visible()
    before = page.evaluate(NO_FLY)
    page.click("#no-fly-open")
    type_token(page)
    drawn_by_mouse_and_given_up(visit, placed)
    drawn_by_keyboard(page)
    refused_by_field(page)
    page.fill("#no-fly [name=name]", "Market")

    # the preview was made with a city that is no longer there
    apply, answer = page.locator("#no-fly [data-part=apply]"), page.locator("#no-fly [data-part=answer]")
    page.evaluate("droneDispatch.world.setCity = () => false")
    page.evaluate(SOMEBODY_ELSE)
    apply.click()
    expect(answer).to_contain_text("the city has changed since this preview")
    assert page.evaluate(NO_FLY) == before
    apply.click()
    expect(answer).to_contain_text("Stored")
    assert page.evaluate(NO_FLY) == [*before, "Market"]
    page.click("#no-fly [data-part=undo]")
    expect(answer).to_contain_text("Taken back")
    assert page.evaluate(NO_FLY) == before

    page.click("#no-fly summary")
    page.locator("#no-fly [data-remove]").first.click()
    apply.click()
    expect(answer).to_contain_text("Removed")
    assert page.evaluate(NO_FLY) == before[1:]
    assert [fault for fault in visit.faults if "page error" in fault] == []
