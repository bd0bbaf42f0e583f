"""A gateway whose orders a stand-in delivers at once, and Locust beside it: what tests of the load's verdict share."""

from __future__ import annotations

import asyncio
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate
from pathlib import Path

from sanic import HTTPResponse, Request
from scripts.local.home import CHECKOUT

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, delivery_tags, move_delivery
from dronedispatch.fleet.documents import decode, encode, stamp
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving
from support.ports import free_port
from support.waiting import let_run

LIFE = (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS, DeliveryStatus.DELIVERED)


async def deliver_at_once(gateway: MemoryGateway) -> None:
    """Every pending order through its whole life."""
    while True:
        page = await gateway.kv.scan(tag=f"status={DeliveryStatus.PENDING}")
        for item in page.items:
            delivery = decode(Delivery, item.value)
            for status in LIFE:
                at = stamp(gateway.clock.wall_s())
                delivery = move_delivery(delivery, status, at=at, cause="stand-in", drone_id="d1")
            await gateway.kv.put(item.key, encode(delivery), tags=delivery_tags(delivery))
        await let_run(0.05)


class OffClock(SystemClock):
    """Set wrong by `off_s`."""

    def __init__(self, off_s: float) -> None:
        super().__init__()
        self._off_s = off_s

    def wall_s(self) -> float:
        return super().wall_s() + self._off_s


@asynccontextmanager
async def town(off_s: float = 0.0) -> AsyncIterator[str]:
    """Its clock, and so its stored timestamps and its Date, are off by `off_s`."""
    clock = OffClock(off_s)
    gateway = MemoryGateway(clock=clock)

    @gateway.app.on_response  # type: ignore[untyped-decorator]
    async def dated(_request: Request, response: HTTPResponse) -> None:
        response.headers["date"] = formatdate(clock.wall_s(), usegmt=True)

    async with serving(gateway.app) as port:
        flight = asyncio.create_task(deliver_at_once(gateway))
        yield f"http://127.0.0.1:{port}"
        flight.cancel()


NO_MATTER_HOW_LATE = dict.fromkeys(
    ("post_p95_ms_max", "to_assigned_p95_s_max", "to_delivered_p95_s_max"), 1e9
)
NO_MATTER_HOW_SLOW = NO_MATTER_HOW_LATE | {"offered_share_min": 0.0}


def planted(tmp_path: Path, values: Mapping[str, float] = NO_MATTER_HOW_SLOW) -> Path:
    """The thresholds of the repository with others for some. Those in seconds or of a rate judge the machine, not us."""
    text = (CHECKOUT / "loadtests" / "slo.toml").read_text()
    for name, value in values.items():
        text, changed = re.subn(rf"(?m)^{name} .*$", f"{name} = {value!r}", text)
        assert changed == 1, name
    path = tmp_path / "slo.toml"
    path.write_text(text)
    return path


@contextmanager
def web_ui(url: str, *more: str) -> Iterator[str]:
    """scripts/load with its page, which may not answer yet; the page's address."""
    port = free_port()
    arguments = ["--host", url, "--web-port", str(port), "--orders-per-minute", "600", *more]
    with subprocess.Popen([CHECKOUT / "scripts/load", *arguments]) as locust:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            locust.terminate()


def asked(address: str, form: Mapping[str, object] | None = None) -> str:
    """What a GET, or a POST of a form, answers. Raises OSError."""
    body = None if form is None else urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(address, body, timeout=120) as answer:
        return str(answer.read().decode())


def answers(address: str) -> bool:
    try:
        return bool(asked(address))
    except OSError:
        return False
