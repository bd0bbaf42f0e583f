"""The Vagrantfile: valid in every form, and a wrong value is one sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.real


def validate(folder: Path, **told: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("vagrant")
    assert program is not None, "Debian's package vagrant is installed (scripts/install-tools --dev)"
    kept = {"PATH": os.environ["PATH"], "HOME": str(folder), "VAGRANT_HOME": str(folder / "vagrant")}
    kept |= {"VAGRANT_DOTFILE_PATH": str(folder / "dot"), "DD_SECRETS": str(folder / "secrets")}
    return subprocess.run(
        # The providers are for `vagrant up`; a machine that only has the package vagrant validates all the same.
        [program, "validate", "--ignore-provider"],
        cwd=ROOT,
        env=kept | told,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "told",
    [
        {},
        {
            "DD_SECURE": "1",
            "DD_OFFLINE": "1",
            "DD_CLIENTS": "9",
            "DD_BOX": "example/box",
            "DD_LIBVIRT_DRIVER": "qemu",
        },
        {"DD_RUNNER": "systemd", "DD_SERVER_COUNT": "1", "DD_CLIENTS": "2"},
    ],
)
def test_every_form_is_valid(tmp_path: Path, told: dict[str, str]) -> None:
    done = validate(tmp_path, **told)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DD_CLIENTS", "many", "DD_CLIENTS=many: a whole number from 1 to 9 is expected"),
        ("DD_SERVER_MEMORY", "12", "DD_SERVER_MEMORY=12: a whole number from 768 to 65536 is expected"),
        ("DD_SECURE", "yes", "DD_SECURE=yes: 0 or 1 is expected"),
        ("DD_SERVER_COUNT", "2", "DD_SERVER_COUNT=2: 1, 3 or 5 is expected"),
        ("DD_RUNNER", "docker", "DD_RUNNER=docker: nomad or systemd is expected"),
    ],
)
def test_a_wrong_value_of_the_topology_names_itself(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    done = validate(tmp_path, **{name: value})
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_every_provisioner_of_the_table_is_a_script_and_every_port_stays_on_loopback() -> None:
    text = (ROOT / "Vagrantfile").read_text(encoding="utf-8")
    (names,) = re.findall(r"PROVISIONERS = %w\[([a-z ]+)\]", text)
    for name in names.split():
        assert os.access(ROOT / "scripts" / "provision" / name, os.X_OK), name
    forwarded = [line for line in text.splitlines() if '"forwarded_port"' in line]
    assert forwarded
    assert all('host_ip: "127.0.0.1"' in line for line in forwarded)
