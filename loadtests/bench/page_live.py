"""An open page of a running system: how old a change is when the page has it and when its row shows it, and what it keeps.

Start a system with orders (`scripts/up --orders-per-minute 50`), then `scripts/bench page-live --minutes 10`.
Each change is timed from the moment in the order's own history, by one clock, for page and system share the machine; rows
are drawn a few times a second, so that theirs is the later one. The heap is read after a forced collection, each minute.
Frames are drawn twice a second only: they keep nothing, and would measure the machine's drawing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from loadtests.bench.arrivals import share
from playwright.sync_api import CDPSession, Page, sync_playwright
from scripts.local.words import positive

SLOW_FRAMES = "window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 500)"
WATCH = """() => {
  const { world } = droneDispatch;
  const ages = (window.ages = { page: [], row: [] });
  const shown = new Map(); // id -> the status that its row was seen with
  const take = world.setDeliveries.bind(world);
  world.setDeliveries = (list) => {
    for (const one of list) {
      const known = world.deliveries.get(one.id);
      const fresh = known ? known.history.length < one.history.length : one.history.length === 1;
      if (fresh) ages.page.push(Date.now() - Date.parse(one.history.at(-1).at));
    }
    take(list);
  };
  const table = document.querySelector("#delivery-table tbody");
  const look = () => {
    for (const row of table.rows) {
      const one = world.deliveries.get(row.dataset.id);
      const status = row.cells[1].textContent;
      if (!one || shown.get(one.id) === status || one.history.at(-1).to !== status) continue;
      if (shown.has(one.id)) ages.row.push(Date.now() - Date.parse(one.history.at(-1).at));
      shown.set(one.id, status);
    }
  };
  look();
  new MutationObserver(look).observe(table, { subtree: true, childList: true, characterData: true });
}"""


def kept(page: Page, devtools: CDPSession) -> dict[str, float]:
    """MB of JavaScript after a forced collection, elements, deliveries that the page knows."""
    for _ in range(2):
        devtools.send("HeapProfiler.collectGarbage")
    used = devtools.send("Runtime.getHeapUsage")["usedSize"]
    nodes = devtools.send("Memory.getDOMCounters")["nodes"]
    return {
        "MB": round(used / 1e6, 2),
        "nodes": nodes,
        "deliveries": page.evaluate("droneDispatch.world.deliveries.size"),
    }


def measure(page: Page, devtools: CDPSession, url: str, minutes: int) -> dict[str, Any]:
    """Ages in ms, and what is kept at the start and after each minute."""
    page.goto(f"{url}/dashboard")
    page.wait_for_selector("#link[data-state=live]")
    page.evaluate(WATCH)
    page.wait_for_timeout(15_000)
    heap = [kept(page, devtools)]
    for minute in range(minutes):
        page.wait_for_timeout(60_000)
        heap.append(kept(page, devtools))
        print(f"minute {minute + 1}: {heap[-1]}", file=sys.stderr)
    ages: dict[str, list[float]] = page.evaluate("ages")
    told = {
        name: {"changes": len(all_)}
        | {f"p{of}_ms": share(all_, of / 100) if all_ else None for of in (50, 95)}
        for name, all_ in ages.items()
    }
    return {"ages": told, "heap": heap}


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--url", default="http://127.0.0.1:8080", help="of the load balancer (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=positive(int), default=10)
    return parser.parse_args(words)


def main(given: argparse.Namespace) -> int:
    """Print one JSON document."""
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_init_script(SLOW_FRAMES)
        page = context.new_page()
        found = measure(page, context.new_cdp_session(page), given.url, given.minutes)
        browser.close()
    print(json.dumps(found, indent=1))
    return 0
