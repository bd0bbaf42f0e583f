"""scripts/bench lb: what its own door may cost beside HAProxy, and which wheel it takes."""

from __future__ import annotations

import argparse
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from loadtests.bench.lb_load import Measure
from loadtests.bench.lb_peers import OURS
from loadtests.bench.lb_throughput import why_missed
from scripts.local.words import a_wheel

THEIRS = Measure("haproxy", "get", 64, per_s=1000.0, cpu_us=20.0, p50_us=1.0, p99_us=1.0, p999_us=1.0, bad=0)


@pytest.mark.parametrize(
    ("load", "connections", "within_us", "beyond_us"),
    [("get", 64, 30.0, 31.0), ("post", 64, 40.0, 41.0), ("get", 16, 50.0, 51.0)],
)
def test_each_load_has_its_own_limit_of_cpu_beside_haproxy(
    load: str, connections: int, within_us: float, beyond_us: float
) -> None:
    theirs = replace(THEIRS, load=load, connections=connections)
    mine = replace(theirs, peer=OURS)
    assert why_missed(replace(mine, cpu_us=within_us), theirs) == []
    [missed] = why_missed(replace(mine, cpu_us=beyond_us), theirs)
    assert missed.startswith(f"{load} x {connections}: CPU {beyond_us / 20:.2f} x HAProxy, limit")


def test_a_wheel_is_refused_by_name_where_it_is_none_or_another_ones(tmp_path: Path) -> None:
    other = tmp_path / "other.whl"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("other/app.py", "")
    text = tmp_path / "text.whl"
    text.write_text("no archive", encoding="utf-8")
    for path in (tmp_path / "missing.whl", text, other):
        with pytest.raises(argparse.ArgumentTypeError, match=f"{path} is no wheel of a release: "):
            a_wheel(str(path))
