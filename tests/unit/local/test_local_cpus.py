"""A container's share of the machine is what may be kept busy, in both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.local.cpus import cpus
from scripts.local.suites import beside


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(16)))


def told(folder: Path, membership: str, **files: str) -> float:
    for path, content in files.items():
        made = folder / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(content)
    (folder / "membership").write_text(membership)
    return cpus(folder / "membership", folder)


@pytest.mark.parametrize(
    ("content", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", 16.0), ("odd\n", 16.0)]
)
def test_a_quota_of_version_2_is_read(tmp_path: Path, content: str, cores: float) -> None:
    assert told(tmp_path, "0::/ci/job\n", **{"ci/job/cpu.max": content}) == cores


def test_a_quota_of_a_group_above_bounds_too(tmp_path: Path) -> None:
    files = {"ci/cpu.max": "100000 100000\n", "ci/job/cpu.max": "max 100000\n"}
    assert told(tmp_path, "0::/ci/job\n", **files) == 1.0


@pytest.mark.parametrize(("quota", "cores"), [("50000\n", 0.5), ("-1\n", 16.0)])
def test_a_quota_of_version_1_is_read(tmp_path: Path, quota: str, cores: float) -> None:
    files = {"cpu/job/cpu.cfs_quota_us": quota, "cpu/job/cpu.cfs_period_us": "100000\n"}
    assert told(tmp_path, "4:memory:/job\n1:cpu,cpuacct:/job\n0::/\n", **files) == cores


def test_without_control_groups_the_cores_count(tmp_path: Path) -> None:
    assert cpus(tmp_path / "none", tmp_path) == 16.0


@pytest.mark.parametrize(("cores", "suites"), [(0.5, 2), (1.0, 2), (2.0, 3), (16.0, 3)])
def test_a_small_share_runs_fewer_suites_beside_each_other(cores: float, suites: int) -> None:
    assert beside(cores) == suites
