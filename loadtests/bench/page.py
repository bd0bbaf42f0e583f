"""What a frame of the dashboard costs with many drones, in a real Chromium without a GPU, and what it keeps in memory.

The page is served by a gateway on memory twins; the drones are told to the page itself, a tick a second, so that nothing
but the page is measured. A frame counts when the browser shows it: frames a second come from requestAnimationFrame. `CPU`
is what all of Chromium's processes together spend for a frame, drawing included: on a machine with other work it is the
figure to compare, and 33 ms of it is a core at 30 frames a second. `script` is what our own code takes of it, by the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import structlog
from loadtests.bench.runs import ARTIFACTS
from playwright.sync_api import sync_playwright
from scripts.local.words import positive

from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving

FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-precise-memory-info")
SIZES = (100, 1000, 5000)

TELL = """(size) => {
  const { world } = window.droneDispatch;
  const kinds = ["light", "medium", "heavy"];
  const { lat0, lon0 } = world.projection;
  let tick = 0;
  const one = (number) => {
    const radius = 300 + ((number * 7919) % 8200);
    const angle = number * 2.399963 + (tick * 40) / radius;
    const at = (a) => world.projection.degrees(radius * Math.cos(a), radius * Math.sin(a));
    return {
      id: `drone-${String(number).padStart(5, "0")}`, type: kinds[number % 3], status: number % 4 ? "busy" : "charging",
      pos: at(angle), battery_pct: 20 + ((number * 7) % 80), speed_mps: 16.7,
      heading_deg: (360 - (angle * 180) / Math.PI) % 360,
      route: [at(angle + 0.2)], delivery_id: null, decommissioned: false,
    };
  };
  const tell = () => {
    tick += 1;
    world.setDrones(Array.from({ length: size }, (_, number) => one(number)), true, performance.now());
  };
  window.stopTelling?.();
  const timer = setInterval(tell, 1000);
  window.stopTelling = () => clearInterval(timer);
  tell();
}"""
WATCH = """async (seconds) => {
  const { map } = window.droneDispatch;
  const gaps = [];
  let script = 0;
  const end = performance.now() + seconds * 1000;
  let last = await new Promise(requestAnimationFrame);
  while (last < end) {
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    script += map.cost;
    last = now;
  }
  gaps.sort((a, b) => a - b);
  const sum = gaps.reduce((a, b) => a + b, 0);
  return {
    frames: gaps.length, fps: (1000 * gaps.length) / sum,
    frame_ms: sum / gaps.length, frame_p95_ms: gaps[Math.floor(gaps.length * 0.95)],
    script_ms: script / gaps.length, heap_mb: performance.memory.usedJSHeapSize / 1e6,
  };
}"""


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="scripts/bench page", description="Frames a second and memory of the dashboard with many drones."
    )
    add = command.add_argument
    add("--drones", type=positive(int), nargs="+", default=list(SIZES), metavar="N")
    add("--seconds", type=positive(float), default=10.0, help="of watching each size (default: 10)")
    add("--heap-minutes", type=float, default=0.0, help="then look at the heap so long (0: not)")
    add("--layers", default="all", choices=("all", "none"), help="switched on (default: all)")
    return command.parse_args(words)


def main(given: argparse.Namespace, out: Path = ARTIFACTS / "page") -> int:
    """Print a line a size; figures and pictures go to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit(
            "error: chromium is not installed: run scripts/setup/test-packages, or apt-get install chromium"
        )
    found: list[dict[str, Any]] = []
    with _gateway() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        for size in given.drones:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            found.append({"drones": size} | _one(page, url, size, given, out))
            print(_line(found[-1]), flush=True)
            page.close()
        browser.close()
    (out / "page.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _one(page: Any, url: str, size: int, given: argparse.Namespace, out: Path) -> dict[str, Any]:
    page.goto(f"{url}/dashboard")
    page.wait_for_selector("#link[data-state=live]", timeout=120_000)
    if given.layers == "none":
        for button in page.query_selector_all("#layers button"):
            button.click()
    page.evaluate("window.droneDispatch.stream.resting = true; window.droneDispatch.stream.letGo?.()")
    page.evaluate(TELL, size)
    page.wait_for_timeout(4000)  # trails
    spent_s = _cpu_s()
    seen: dict[str, Any] = page.evaluate(WATCH, given.seconds)
    seen["cpu_ms"] = 1000.0 * (_cpu_s() - spent_s) / seen["frames"]
    page.screenshot(path=out / f"page-{size}.png")
    if given.heap_minutes > 0:
        page.wait_for_timeout(given.heap_minutes * 60_000)
        seen["heap_later_mb"] = page.evaluate("performance.memory.usedJSHeapSize / 1e6")
    return seen


def _cpu_s() -> float:
    """Of Chromium's processes, so far."""
    found = 0.0
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "chrom" in one.name():
                times = one.cpu_times()
                found += times.user + times.system
    return found


def _line(seen: dict[str, Any]) -> str:
    later = f", {seen['heap_later_mb']:.1f} MB later" if "heap_later_mb" in seen else ""
    return (
        f"{seen['drones']:>5} drones: {seen['fps']:5.1f} frames/s, {seen['frame_ms']:6.1f} ms a frame "
        f"(p95 {seen['frame_p95_ms']:.1f}), CPU {seen['cpu_ms']:.1f} ms a frame, "
        f"script {seen['script_ms']:.1f} ms, heap {seen['heap_mb']:.1f} MB{later}"
    )


@contextmanager
def _gateway() -> Iterator[str]:
    """The address of a gateway on memory twins, served by a thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def served() -> tuple[Any, int]:
        gateway = serving(MemoryGateway().app)
        return gateway, await gateway.__aenter__()

    gateway, port = asyncio.run_coroutine_threadsafe(served(), loop).result(60)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(gateway.__aexit__(None, None, None), loop).result(30)
