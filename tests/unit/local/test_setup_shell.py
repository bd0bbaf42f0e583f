"""What the set-up's shell functions leave behind when they are killed, and what they wait for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.commands import ran

WITHIN_S = 15
PRELUDE = """
source <(sed "s|/usr/sbin/policy-rc.d|$1|" scripts/setup/apt.sh)
as_root() { "$@"; }
"""


def bash(text: str, *words: str) -> int:
    """The exit code of a script in the checkout."""
    command = ["bash", "-euo", "pipefail", "-c", text, "bash", *words]
    return subprocess.run(command, cwd=CHECKOUT, timeout=WITHIN_S, check=False).returncode


@pytest.mark.parametrize("theirs", [None, "#!/bin/sh\nexit 101\n"])
def test_a_killed_install_holds_no_service_for_ever(tmp_path: Path, theirs: str | None) -> None:
    policy = tmp_path / "policy-rc.d"
    if theirs is not None:
        policy.write_text(theirs, encoding="utf-8")
    assert bash(PRELUDE + "hold_services; kill -KILL $$", str(policy)) == -9
    assert policy.exists()
    assert bash(PRELUDE + "hold_services; release_services; trap - EXIT", str(policy)) == 0
    assert (policy.read_text(encoding="utf-8") if policy.exists() else None) == theirs
    assert len(list(tmp_path.iterdir())) == (theirs is not None)


def fake(folder: Path, **programs: str) -> dict[str, str]:
    """An environment in which these programs are scripts."""
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o700)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def called(
    script: Path, environ: dict[str, str], *words: str, cwd: Path = CHECKOUT
) -> subprocess.CompletedProcess[str]:
    return ran([script, *words], environ, cwd=cwd, timeout_s=WITHIN_S)


def test_a_release_that_another_one_keeps_waiting_says_so(tmp_path: Path) -> None:
    environ = fake(tmp_path, flock="exit 1") | {"DD_ARTIFACTS": str(tmp_path / "artifacts")}
    done = called(CHECKOUT / "scripts" / "release", environ, "--version", "waits")
    assert done.returncode == 1
    assert done.stderr.startswith("error: another scripts/release")


@pytest.mark.skipif(os.geteuid() != 0, reason="it is for root")
def test_a_nomad_that_is_silent_is_given_up(tmp_path: Path) -> None:
    """Its own program waits for ever. Here time passes at once."""
    environ = fake(
        tmp_path,
        nomad="exec tail -f /dev/null",
        timeout='[ "$2" = nomad ] && exit 124; exec "$@"',
        sleep="exit 0",
    )
    done = called(CHECKOUT / "scripts" / "prepare-nomad", environ)
    assert done.returncode == 1
    assert "has no ready client after a minute" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="it is for root")
def test_without_an_environment_the_check_of_a_nomad_says_what_makes_one(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    environ = fake(tmp_path, nomad="echo Nomad", consul="echo Consul")
    done = called(tmp_path / "scripts" / "check-nomad", environ)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: nothing is installed in this checkout yet: run scripts/install-tools"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="it is for root")
def test_a_relative_box_is_one_of_the_callers_folder(tmp_path: Path) -> None:
    """It is found there; what names its release is missing, which ends the trial before a machine starts."""
    programs = ("vagrant", "debootstrap", "qemu-system-x86_64", "qemu-img", "libvirtd", "virsh", "dnsmasq")
    fakes = dict.fromkeys((*programs, "iptables", "nomad"), "exit 0")
    fakes |= {"dpkg-query": "echo install ok installed", "rsync": "exit 0", "flock": "exit 1"}
    environ = fake(tmp_path, **fakes) | {
        "TMPDIR": str(tmp_path),
        "DD_ARTIFACTS": str(tmp_path / "artifacts"),
    }
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "dronedispatch.box").write_text("a box", encoding="utf-8")
    done = called(CHECKOUT / "scripts" / "try-vagrant", environ, "--box", "box", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/box does not say of which release its box is")
