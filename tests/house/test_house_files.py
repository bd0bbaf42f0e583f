"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.checkout import name_of, text_of, tracked
from support.commands import ran

LINES_MAX = 400
FUNCTION_LINES_MAX = 50
# Taken apart, so that this file does not name them either.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("registry", "npmjs", "org"),
        ("docker", "io"),
        ("proxy", "golang", "org"),
        ("rubygems", "org"),
    )
)
DRAWERS = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def test_no_file_names_a_package_registry() -> None:
    found = [(name_of(path), host) for path in tracked() for host in REGISTRIES if host in text_of(path)]
    assert found == []


def test_an_init_file_holds_a_docstring_at_most() -> None:
    found = []
    for path in tracked(".py"):
        if path.name == "__init__.py":
            body = ast.parse(text_of(path)).body
            rest = (
                body[1:]
                if body and isinstance(body[0], ast.Expr) and ast.get_docstring(ast.parse(text_of(path)))
                else body
            )
            found += [name_of(path)] if rest else []
    assert found == []


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        name_of(path): len(text_of(path).splitlines())
        for path in tracked(".py", ".js", ".sh", ".hcl", ".css", "")
    }
    allowed = {"LICENSE"}
    assert {name: lines for name, lines in long.items() if lines > LINES_MAX and name not in allowed} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    found = {}
    for path in tracked(".py"):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    found[f"{name_of(path)}:{node.name}"] = lines
    assert found == {}


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    assert [name_of(path) for path in tracked(".py") if path.stem in DRAWERS] == []


def test_nothing_is_left_unfinished() -> None:
    code = tracked(".py", ".js", ".sh", ".hcl", ".md", ".css", ".html", "")
    found = [name_of(path) for path in code if UNFINISHED.search(text_of(path))]
    assert found == []


def test_every_test_file_has_a_name_of_its_own_and_no_package_around_it() -> None:
    names = Counter(path.name for path in tracked(".py") if path.name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []
    packages = [name_of(path) for path in tracked(".py") if path.name == "__init__.py"]
    assert [name for name in packages if name.startswith("tests/")] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) > 30
    assert [line[:60] for line in lines if "--hash=sha256:" not in line or "==" not in line] == []
    assert "://" not in text


def test_rooms_import_downward_only() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = ran([linter], cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout


def test_a_core_takes_no_more_of_chance_than_a_seeded_generator() -> None:
    rooms = [
        CHECKOUT / "services" / "dronedispatch" / "fleet",
        *CHECKOUT.glob("services/dronedispatch/*/core"),
    ]
    found = []
    for path in (path for room in rooms for path in room.rglob("*.py")):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.ImportFrom) and node.module == "random":
                found += [(name_of(path), name.name) for name in node.names if name.name != "Random"]
            if isinstance(node, ast.Import):
                found += [(name_of(path), name.name) for name in node.names if name.name == "random"]
    assert found == []


def test_the_files_of_a_service_import_nothing_from_above_them() -> None:
    """What import-linter cannot say without naming every file: app > routes, consumers, loops > the other files."""
    above = {"app", "routes", "consumers", "loops"}
    services = ("kvstore", "kvfront", "gateway", "lb", "dispatcher", "drone_sim")
    found = {}
    for service in services:
        room = CHECKOUT / "services" / "dronedispatch" / service
        for path in room.rglob("*.py"):
            first = path.relative_to(room).parts[0].removesuffix(".py")
            if first in {"__main__", "app"}:
                continue
            forbidden = above - {first}
            imported = {
                (node.module or "").removeprefix(f"dronedispatch.{service}.").split(".")[0]
                for node in ast.walk(ast.parse(text_of(path)))
                if isinstance(node, ast.ImportFrom)
                and (node.module or "").startswith(f"dronedispatch.{service}.")
            }
            if wrong := imported & forbidden:
                found[name_of(path)] = sorted(wrong)
    assert found == {}
