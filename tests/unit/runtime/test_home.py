"""A home as its users find it is the home that scripts/up makes."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest
from scripts.local.broker import USER
from scripts.local.home import Home
from scripts.local.options import Options
from scripts.local.system import System, home_argument, of_home, remember
from scripts.local.table import service_environment
from scripts.local.up import addresses

from dronedispatch.runtime.home import (
    NoHome,
    environment_for,
    find_home,
    home_folder,
    needed_home,
)
from dronedispatch.tool.api import Api
from dronedispatch.tool.system import ResolvedTarget


def started(folder: Path, settings: dict[str, str] | None = None, **options: Any) -> System:
    system = System(Home(folder), dataclasses.replace(Options(), **options), settings=settings)
    folder.mkdir(exist_ok=True)
    remember(system)
    return system


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0", "192.0.2.7"])
def test_addresses_and_tokens_are_those_of_the_scripts(tmp_path: Path, listen: str) -> None:
    system = started(tmp_path, port_base=23000, listen=listen)
    found = needed_home(tmp_path)
    assert found.url == system.url
    given = service_environment(system.home, system.options)
    assert found.environment() == {name: found.environment()[name] for name in found.environment()}
    for name, value in found.environment().items():
        assert given[name].removeprefix("http://") == value.removeprefix("http://"), name
    assert found.environment()["AMQP_USER"] == USER


@pytest.mark.parametrize("exported", [False, True])
def test_a_door_is_https_where_the_system_was_started_so_and_whatever_this_shell_has_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: bool
) -> None:
    monkeypatch.setenv("LB_TLS_CERT", "/cert.pem") if exported else monkeypatch.delenv("LB_TLS_CERT", False)
    for name, settings in (("http", {}), ("https", {"LB_TLS_CERT": "/cert.pem"})):
        started(tmp_path / name, settings=settings)
        assert (
            needed_home(tmp_path / name).url
            == of_home(Home(tmp_path / name)).url
            == f"{name}://127.0.0.1:8080"
        )


def test_a_home_in_which_nothing_was_started_is_told_with_the_command(tmp_path: Path) -> None:
    assert find_home(tmp_path) is None
    with pytest.raises(NoHome, match=f"scripts/up --home {tmp_path}"):
        needed_home(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"options": {"port_base": "x", "listen": "a"}}'])
def test_a_damaged_home_is_no_address(tmp_path: Path, text: str) -> None:
    (tmp_path / "system.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        NoHome, match=rf"damaged .*scripts/down --home {tmp_path} && scripts/up --home {tmp_path} --fresh"
    ):
        find_home(tmp_path)


def test_an_option_goes_before_the_variable(tmp_path: Path) -> None:
    told = {"DD_HOME": str(tmp_path / "told")}
    assert home_folder(tmp_path / "given", told) == tmp_path / "given"
    assert home_folder(None, told) == tmp_path / "told"


def test_a_home_that_is_named_overrules_the_environment(tmp_path: Path) -> None:
    started(tmp_path, port_base=23000)
    found = environment_for(
        tmp_path, {"CONSUL_HTTP_ADDR": "elsewhere:1", "STORE_TOKEN": "old", "PATH": "/bin"}
    )
    assert found["CONSUL_HTTP_ADDR"] == "http://127.0.0.1:23420"
    assert "STORE_TOKEN" not in found
    assert found["PATH"] == "/bin"


def test_a_system_that_is_named_in_the_environment_is_not_mixed_with_a_home() -> None:
    given = {"CONSUL_HTTP_ADDR": "elsewhere:1"}
    assert environment_for(None, given) == given


def test_a_command_that_is_printed_names_a_home_as_a_shell_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "Bob's home #1; x"
    system = started(folder)
    words = ["--home", str(folder)]
    assert shlex.split(home_argument(system.home)) == words
    with pytest.raises(NoHome) as told:
        needed_home(folder / "no")
    assert shlex.split(str(told.value).partition("scripts/up ")[2]) == ["--home", str(folder / "no")]
    api = Api(ResolvedTarget("http://127.0.0.1:9", None, needed_home(folder), 1.0))
    assert shlex.split(api.next_command("doctor"))[2:] == words
    assert f"cat {shlex.quote(str(folder / 'tokens' / 'operator'))}" in addresses(system)


def test_what_a_newcomer_is_shown_works_as_it_is_typed_at_a_door_with_tls(tmp_path: Path) -> None:
    """Its certificate is known to a script that is told its home, and to no curl."""
    shown = addresses(started(tmp_path, settings={"LB_TLS_CERT": "/no-such-cert.pem"}, port_base=23000))
    assert f"scripts/load --home {tmp_path} " in shown
    assert "curl -sS -k -X POST https://127.0.0.1:23000/deliveries" in shown
    assert "curl -sS -X POST http://" in addresses(started(tmp_path, port_base=23000))
