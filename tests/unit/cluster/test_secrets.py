"""Keys of a cluster: made once, private, and each machine gets only its own."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from scripts.cluster import authority, command, pins, secrets
from scripts.local.trouble import Trouble

HOSTS = {"server-1": "192.168.56.11", "server-2": "192.168.56.12", "client-1": "192.168.56.21"}
WORDS = [f"{name}={address}" for name, address in HOSTS.items()]


def test_what_is_there_is_never_changed(tmp_path: Path) -> None:
    assert secrets.main(["--dir", str(tmp_path), "--tls", *WORDS], {}) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert secrets.main(["--dir", str(tmp_path), "--tls", *WORDS], {}) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_of_something_else_is_neither_filled_nor_shut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "etc").mkdir()
    tmp_path.chmod(0o755)
    assert command.main(["secrets", "--dir", str(tmp_path)]) == 1
    assert f"{tmp_path} holds something else" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["etc"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    secrets.make(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_every_certificate_is_good_for_its_machine_and_no_other(tmp_path: Path) -> None:
    authority.make(tmp_path, HOSTS)
    for machine, address in HOSTS.items():
        words = ["openssl", "verify", "-CAfile", str(tmp_path / "ca.pem"), "-verify_ip", address]
        done = subprocess.run(
            [*words, str(tmp_path / f"consul-{machine}.pem")], capture_output=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
    other = [
        "openssl",
        "verify",
        "-CAfile",
        str(tmp_path / "ca.pem"),
        "-verify_hostname",
        "server.dc1.consul",
    ]
    pem = str(tmp_path / "consul-client-1.pem")
    assert subprocess.run([*other, pem], capture_output=True, timeout=600, check=False).returncode != 0


def test_a_client_gets_nothing_that_rules_the_cluster(tmp_path: Path) -> None:
    names = secrets.needed("client-1", last_server=False, secure=True)
    assert not {name for name in names if "management" in name or "amqp" in name or name.endswith("ca.key")}
    assert set(secrets.needed("server-2", last_server=True, secure=False)) <= set(secrets.wanted())


def test_secrets_inside_the_repository_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], timeout=600, check=True)
    assert command.main(["secrets", "--dir", str(tmp_path / "keys")]) == 1
    assert "is in a git work tree that does not ignore it" in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("word", ["gateway=192.168.56.11", "server-1=somewhere", "server-1"])
def test_a_wrong_machine_is_named(word: str) -> None:
    with pytest.raises(Trouble, match=word.partition("=")[0]):
        authority.machines([word])


def test_markers_are_decided_for_the_machine_and_not_for_us() -> None:
    text = (
        "# a comment\n"
        "async-timeout==5.0.1 ; python_full_version < '3.11.3' \\\n    --hash=sha256:aa\n    # via\n"
        "pywin32==312 ; sys_platform == 'win32' \\\n    --hash=sha256:bb\n"
        "yarl==1.0 \\\n    --hash=sha256:cc \\\n    --hash=sha256:dd\n"
    )
    wanted = "async-timeout==5.0.1 \\\n    --hash=sha256:aa\nyarl==1.0 \\\n    --hash=sha256:cc \\\n    --hash=sha256:dd\n"
    assert pins.resolve(text, pins.target("3.11.2", "x86_64")) == wanted
    assert "async-timeout" not in pins.resolve(text, pins.target("3.11.7", "x86_64"))


def test_a_wrong_machine_is_told_before_a_secret_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["secrets", "--dir", str(tmp_path / "keys"), "one=nowhere"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "keys").exists()


def test_an_empty_name_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not set: `--dir "$KEYS"` meant the working directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        secrets.main(["--dir", ""], {})
    assert list(tmp_path.iterdir()) == []
