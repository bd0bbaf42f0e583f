"""No verdict by luck or by clock: a test reads no clock, draws from no unseeded generator, and sleeps in one room only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

TESTS = CHECKOUT / "tests"
CLOCKS = {
    f"{name}{unit}"
    for name in ("monotonic", "perf_counter", "process_time", "thread_time")
    for unit in ("", "_ns")
} | {"time_ns", "clock_gettime", "clock_gettime_ns", "getrusage", "utcnow", "default_timer"}
CLOCK_OF = {
    "time": {"time", "times"},
    "loop": {"time"},
    "datetime": {"now", "today"},
    "date": {"today"},
    "os": {"times"},
}
DRAWS = {
    "random": {
        "random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "randbytes", "gauss",
        "getrandbits", "expovariate", "normalvariate", "triangular", "betavariate", "SystemRandom", "seed",
    },
    "uuid": {"uuid1", "uuid4"},
    "os": {"urandom", "getrandom"},
    "ulid": {"new"},
    "secrets": {"token_bytes", "token_hex", "token_urlsafe", "choice", "randbelow", "randbits", "SystemRandom"},
}  # fmt: skip
SEEDED = {"Random", "default_rng", "RandomState", "SeedSequence", "PCG64", "ULID"}
"""Made with a seed or not at all."""
MEASURES = {"elapsed", "total_seconds", "perf_ms"}
SLEEPS = {"time", "asyncio", "trio", "anyio", "gevent"}
BOUNDED = {"run", "communicate", "wait", "check_output", "check_call", "timeout", "wait_for", "join"}
TIMEOUT_S_MIN = 60.0

WAITING = "support/waiting.py"
VIRTUAL = "support/virtual_time.py"
SIGNALS = "support/signals.py"
CLOCK_ROOMS = {
    WAITING: "the deadlines of all waiting",
    VIRTUAL: "the kernel's time, while a thread works",
    "support/store_workload.py": "when each operation began and ended: what the checker of histories works on",
    "support/order_stream.py": "when each order was answered: told, never judged",
    "support/nomad_cluster.py": "when each order was answered, how long a change took: told, never judged",
    "nomad/cluster_live.py": "how long each change took: told, never judged",
}


def name_of(node: ast.AST) -> str:
    """The last word of a dotted name or of a call: `loop` of `asyncio.get_running_loop()`, `np.random` -> random."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        inner = name_of(node.func)
        return "loop" if inner.endswith("_loop") else inner
    return node.id if isinstance(node, ast.Name) else ""


class Reader(ast.NodeVisitor):
    """Collects what is wrong with one module of the tests."""

    def __init__(self, where: str, source: str) -> None:
        self.where = where
        self.wrong: list[str] = []
        self.aliases: dict[str, str] = {}
        self.virtual = "pytest.mark.virtual_time" in source
        self.may_read_clocks = where in CLOCK_ROOMS
        self.visit(ast.parse(source))

    def note(self, node: ast.expr | ast.stmt, what: str) -> None:
        self.wrong.append(f"{self.where}:{node.lineno}: {what}")

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            if one.asname:
                self.aliases[one.asname] = one.name.rpartition(".")[2]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        room = (node.module or "").rpartition(".")[2]
        for one in node.names:
            self.aliases[one.asname or one.name] = one.name
            if self._is_clock(room, one.name) and not self.may_read_clocks:
                self.note(node, f"the clock {room}.{one.name}")
            if one.name in DRAWS.get(room, set()):
                self.note(node, f"unseeded chance: {room}.{one.name}")
            if one.name == "sleep" and room in SLEEPS and self.where != WAITING:
                self.note(node, f"{room}.sleep outside of {WAITING}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = self._real(node.value)
        if self._is_clock(owner, node.attr) and not self.may_read_clocks:
            self.note(node, f"the clock {owner}.{node.attr}")
        if node.attr in DRAWS.get(owner, set()) and isinstance(node.value, (ast.Name, ast.Attribute)):
            self.note(node, f"unseeded chance: {owner}.{node.attr}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self._real(node.func)
        if called in SEEDED and not node.args and not node.keywords:
            self.note(node, f"unseeded chance: {called}()")
        self._sleeps(node)
        self._hurries(node)
        self._freezes(node)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        measured = [name for name in map(name_of, ast.walk(node)) if name in MEASURES]
        if measured:
            self.note(node, f"a measured duration is compared: {measured[0]}")
        if (
            self.may_read_clocks
            and self.where != WAITING
            and self._constant(node)
            and self._reads_clock(node)
        ):
            self.note(node, "a measured duration is compared with a constant")
        self.generic_visit(node)

    def _real(self, node: ast.AST) -> str:
        name = name_of(node)
        return self.aliases.get(name, name)

    def _is_clock(self, owner: str, name: str) -> bool:
        return name in CLOCKS or name in CLOCK_OF.get(owner, set())

    def _reads_clock(self, node: ast.AST) -> bool:
        return any(
            isinstance(one, ast.Attribute) and self._is_clock(self._real(one.value), one.attr)
            for one in ast.walk(node)
        )

    @staticmethod
    def _constant(node: ast.Compare) -> bool:
        return any(isinstance(side, ast.Constant) for side in (node.left, *node.comparators))

    def _sleeps(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Attribute) or node.func.attr != "sleep":
            return
        nothing = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        allowed = self.where == WAITING or (
            self.where == VIRTUAL and self._real(node.func.value) == "asyncio"
        )
        if self._real(node.func.value) in SLEEPS and not nothing and not allowed:
            self.note(node, f"sleep outside of {WAITING}")

    def _freezes(self, node: ast.Call) -> None:
        """A process with many threads runs on for a moment after `kill` has returned."""
        if self.where == SIGNALS or "SIGSTOP" not in map(name_of, node.args):
            return
        bare = isinstance(node.func, ast.Name) or (
            isinstance(node.func, ast.Attribute) and name_of(node.func.value) == "os"
        )
        called = self._real(node.func)
        if called == "send_signal" or (bare and called in {"kill", "killpg"}):
            self.note(node, f"SIGSTOP may not have taken hold yet: {SIGNALS}")

    def _hurries(self, node: ast.Call) -> None:
        """A limit so short that it measures the machine. In virtual time there is no machine to measure."""
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        owner = self._real(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if self.virtual or called not in BOUNDED or (owner == "asyncio" and called == "wait"):
            return
        limits = [one.value for one in node.keywords if one.arg == "timeout"]
        if owner == "asyncio" and called in {"timeout", "wait_for"}:
            limits += node.args[-1:]
        for limit in limits:
            if (
                isinstance(limit, ast.Constant)
                and isinstance(limit.value, (int, float))
                and limit.value < TIMEOUT_S_MIN
            ):
                self.note(
                    node,
                    f"{called} gives up after {limit.value} s: at least {TIMEOUT_S_MIN:g}, or support.waiting",
                )


def modules() -> Iterator[Path]:
    """Every one there is, whether Git knows it yet or not."""
    return (path for path in sorted(TESTS.rglob("*.py")) if "__pycache__" not in path.parts)


def wrong_with(where: str, source: str) -> list[str]:
    return Reader(where, source).wrong


def test_no_verdict_hangs_on_luck_or_on_the_clock() -> None:
    found = [
        line
        for path in modules()
        for line in wrong_with(str(path.relative_to(TESTS)), path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_room_that_may_read_a_clock_exists() -> None:
    assert [name for name in CLOCK_ROOMS if not (TESTS / name).exists()] == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\nbegan = time.monotonic()\nassert time.monotonic() - began < 5",
        "from time import perf_counter",
        "from time import monotonic as now\nbegan = now()",
        "import time as t\nbegan = t.time()",
        "import time\nclock = time.perf_counter_ns",
        "import asyncio\nbegan = asyncio.get_running_loop().time()",
        "loop = x()\nassert loop.time() - began < 3.0",
        "from datetime import datetime\nbegan = datetime.now()",
        "import datetime\nbegan = datetime.datetime.now()",
        "from timeit import default_timer",
        "assert answer.elapsed.total_seconds() < 1",
        "import random\nx = random.random()",
        "import random\nrandom.shuffle(found)",
        "from random import choice",
        "from random import Random\nrng = Random()",
        "import random\nrng = random.Random()",
        "import numpy as np\nrng = np.random.default_rng()",
        "import numpy as np\nx = np.random.uniform(0, 1)",
        "import uuid\nkey = uuid.uuid4()",
        "from uuid import uuid4",
        "import os\nvalue = os.urandom(16)",
        "import secrets\ntoken = secrets.token_hex()",
        "from ulid import ULID\nkey = str(ULID())",
        "import time\ntime.sleep(0.5)",
        "from time import sleep",
        "import asyncio\nasync def t():\n    await asyncio.sleep(0.1)",
        "import asyncio\nasync def t():\n    await asyncio.sleep(PAUSE_S)",
        "import asyncio\nasync def t():\n    async with asyncio.timeout(5):\n        pass",
        "import asyncio\nasync def t():\n    await asyncio.wait_for(x(), 3)",
        "import subprocess\nsubprocess.run(words, timeout=25)",
        "import os, signal\nos.kill(pid, signal.SIGSTOP)",
        "import os\nfrom signal import SIGSTOP\nos.killpg(pid, SIGSTOP)",
        "from os import kill\nkill(pid, signal.SIGSTOP)",
        "import signal\nprocess.send_signal(signal.SIGSTOP)",
    ],
)
def test_each_form_of_it_is_seen(source: str) -> None:
    assert wrong_with("unit/test_it.py", source) != []


def test_a_duration_is_not_judged_even_where_a_clock_may_be_read() -> None:
    source = "import time\nassert time.monotonic() - began_s < 2.0"
    assert wrong_with("support/order_stream.py", source) != []


@pytest.mark.parametrize(
    "source",
    [
        "from random import Random\nrng = Random(7)\nx = rng.random()",
        "import numpy as np\nrng = np.random.default_rng(seed)",
        "import asyncio\nasync def t():\n    await asyncio.sleep(0)",
        "clock.advance(5.0)\nassert beat.elapsed_s == 1.0",
        "from support.waiting import deadline\nasync def t():\n    async with deadline():\n        pass",
        "import asyncio\nasync def t():\n    await asyncio.wait([x], timeout=0.05)",
        "import subprocess\nsubprocess.run(words, timeout=120)",
        "from support.signals import send\nsend(pid, signal.SIGSTOP)",
        "system.kill(name, signal.SIGSTOP)",
        "from support.virtual_time import now_s\nassert now_s() - began_s < 0.3",
    ],
)
def test_what_is_decided_by_seed_condition_or_virtual_time_is_good(source: str) -> None:
    assert wrong_with("unit/test_it.py", source) == []
