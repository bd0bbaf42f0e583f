"""A home whose disk is full, and one whose logs nobody reads: orders are answered honestly, and all is well afterwards."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.local.home import Home
from scripts.local.supervisor import Supervisor

from support.live_system import AGAIN, Answer, LiveSystem, eventually
from support.ports import free_ports
from support.signals import send

pytestmark = pytest.mark.real

DISK = "900m"
ORDER = {"origin": {"lat": 41.89, "lon": 12.49}, "destination": {"lat": 41.891, "lon": 12.491}, "weight": 1}
PIPE_BYTES = 65_536
LINE_BYTES_MIN = 100


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    """A system with one gateway, which has the whole of a small disk for itself."""
    disk = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk], check=True, timeout=600)
    live = LiveSystem(disk / "home", free_ports())
    try:
        live.up("--drones", "30", "--speed", "60", "--gateways", "1")
        yield live
    finally:
        live.down()
        subprocess.run(["umount", disk], check=False, timeout=600)


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not a byte is free while the block runs."""
    room = disk / "room"
    with room.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    try:
        yield
    finally:
        room.unlink()


def posted(system: LiveSystem, key: str) -> Answer:
    with contextlib.closing(system.caller()) as caller:
        return caller.ask("POST", "/deliveries", ORDER, {"Idempotency-Key": key})


def test_a_full_disk_is_told_in_every_answer_and_ends_with_it(system: LiveSystem) -> None:
    before = {name: row["pid"] for name, row in system.rows().items()}
    accepted = set(system.place(3, seed=1))
    answers: list[Answer] = []

    def refused() -> bool:
        for _ in range(100):  # what the replicas had set aside takes some more
            answers.append(posted(system, f"full-{len(answers)}"))
            if answers[-1].status in AGAIN:
                return True
        return False

    with full(system.home.parent):
        eventually(lambda: "disk_full" in str(system.get("/health")), "health tells the full disk", 20)
        eventually(refused, "an order is not stored", 40)
        assert answers[-1].headers["content-type"].startswith("application/problem+json")
    assert {answer.status for answer in answers} <= {201} | AGAIN

    eventually(system.all_healthy, "every process is healthy", 40)
    eventually(lambda: system.get("/health")["health"] == "healthy", "health tells nothing any more", 40)
    accepted |= {str(answer.document["id"]) for answer in answers if answer.status == 201}
    accepted |= set(system.place(3, seed=2))
    assert accepted <= {one["id"] for one in system.deliveries()}
    after = {name: row["pid"] for name, row in system.rows().items()}
    del (
        before["rabbitmq"],
        after["rabbitmq"],
    )  # it ends on a full disk, and is started again until there is room
    assert after == before


def test_orders_are_taken_while_nobody_reads_a_line_of_the_logs(system: LiveSystem) -> None:
    with system.nobody_restarted():
        assert len(system.place(PIPE_BYTES // LINE_BYTES_MIN, seed=3)) > 0
    log = Home(system.home).log("gateway-1")
    system.place(1, seed=4)
    eventually(
        lambda: "log lines lost" in log.read_text(encoding="utf-8"), "the log tells what is missing", 10
    )

    pid = Supervisor(Home(system.home)).pid()
    send(pid, signal.SIGKILL)
    assert len(system.place(20, seed=5)) == 20
