"""The Vagrantfile: valid in every form, and a wrong value is one sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.commands import ran

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.real


def read_by(
    *command: str, folder: Path, settings: str = "", told: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command[0])
    assert program is not None, f"Debian's package {command[0]} is installed (scripts/install-tools --dev)"
    kept = {"PATH": os.environ["PATH"], "HOME": str(folder), "VAGRANT_HOME": str(folder / "vagrant")}
    kept |= {"VAGRANT_DOTFILE_PATH": str(folder / "dot")}
    if settings:
        (folder / "settings.yml").write_text(settings, encoding="ascii")
        kept["DD_SETTINGS"] = str(folder / "settings.yml")
    return ran([program, *command[1:]], kept | told, cwd=ROOT)


def validate(folder: Path, settings: str = "", **told: str) -> subprocess.CompletedProcess[str]:
    """By Vagrant. The providers are for `vagrant up`; a machine that only has the package validates all the same."""
    return read_by("vagrant", "validate", "--ignore-provider", folder=folder, settings=settings, told=told)


def refuse(folder: Path, settings: str = "", **told: str) -> str:
    """What the Vagrantfile says of itself, before it asks for Vagrant: Ruby alone reads it in a thirtieth of the time."""
    done = read_by("ruby", "Vagrantfile", folder=folder, settings=settings, told=told)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("", {}),
        ("clients: 9\nbox: example/box\nlibvirt: {driver: qemu}\n", {"DD_SECURE": "1", "DD_OFFLINE": "1"}),
        ("servers: 1\nclients: 2\nnomad: 2.0.5\n", {}),
    ],
)
def test_every_form_is_valid(tmp_path: Path, settings: str, told: dict[str, str]) -> None:
    done = validate(tmp_path, settings, **told)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("clients: many\n", "clients: many: a whole number from 1 to 9 is expected"),
        ("server_memory: 12\n", "server_memory: 12: a whole number from 768 to 65536 is expected"),
        ("servers: 2\n", "servers: 2: 1, 3 or 5 is expected"),
        ("runner: docker\n", "runner: no such setting; known are servers, clients,"),
        ("- clients\n", "name: value lines are expected"),
    ],
)
def test_a_wrong_setting_names_itself(tmp_path: Path, settings: str, sentence: str) -> None:
    said = refuse(tmp_path, settings)
    assert sentence in said
    assert "Vagrantfile:" not in said  # no traceback


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DD_SECURE", "yes", "DD_SECURE=yes: 0 or 1 is expected"),
        ("DD_SETTINGS", "/nowhere.yml", "DD_SETTINGS=/nowhere.yml: there is no such file"),
    ],
)
def test_a_wrong_switch_names_itself(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    assert sentence in refuse(tmp_path, **{name: value})


def test_what_the_file_refuses_ends_vagrant_with_that_sentence(tmp_path: Path) -> None:
    done = validate(tmp_path, "clients: many\n")
    assert done.returncode != 0
    assert "clients: many: a whole number from 1 to 9 is expected" in done.stderr
    assert "Traceback" not in done.stderr


def test_there_are_at_most_three_switches() -> None:
    text = (ROOT / "Vagrantfile").read_text(encoding="utf-8")
    told = {*re.findall(r'(?:ENV\[|ENV\.\w+\(|switch\()"(DD_\w+)"', text)}
    assert told == {*re.findall(r"^#   (DD_\w+)=", text, re.MULTILINE)}  # those of its head, and no other
    assert len(told) <= 3


def test_every_provisioner_of_the_table_is_a_script_and_every_port_stays_on_loopback() -> None:
    text = (ROOT / "Vagrantfile").read_text(encoding="utf-8")
    (names,) = re.findall(r"PROVISIONERS = %w\[([a-z ]+)\]", text)
    for name in names.split():
        assert os.access(ROOT / "scripts" / "provision" / name, os.X_OK), name
    forwarded = [line for line in text.splitlines() if '"forwarded_port"' in line]
    assert forwarded
    assert all('host_ip: "127.0.0.1"' in line for line in forwarded)
