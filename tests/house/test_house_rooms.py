"""Where a line stands: what awaits and touches nothing is in core/, a core knows no shell, a service has one shape."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

PRODUCT = CHECKOUT / "services" / "dronedispatch"
SERVICES = ("kvstore", "kvfront", "gateway", "lb", "dispatcher", "drone_sim")
# What ties a process together or describes it, and the types that only its shell knows.
SHELL_BY_NATURE = {
    "__init__.py",
    "__main__.py",
    "app.py",
    "settings.py",
    "routes.py",
    "ports.py",  # the Protocols between the files of a shell
}
DESCRIBES = {"gateway/openapi"}  # the API's document, made of the routes' own types
IO = re.compile(
    r"(asyncio|sanic|aiohttp|aio_pika|lmdb|consul|structlog|prometheus_client|time|os|socket|ssl|random|uuid"
    r"|threading|signal|subprocess|pathlib|shutil|tempfile|fcntl|mmap|multiprocessing|gc"
    r"|dronedispatch\.runtime)(\.|$)"
)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def awaits(path: Path) -> bool:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    return any(isinstance(node, kinds) for node in ast.walk(tree(path)))


def is_pure(path: Path, service: str) -> bool:
    """It would be as true with no network: no await, no I/O, and of its own service it knows the core alone."""
    own = f"dronedispatch.{service}."
    names = list(imported(path))
    of_the_shell = [name for name in names if name.startswith(own) and not name.startswith(own + "core")]
    return not awaits(path) and not of_the_shell and not any(IO.match(name) for name in names)


def of_the_shell(service: str) -> list[Path]:
    room = PRODUCT / service
    return [
        path
        for path in room.rglob("*.py")
        if path.relative_to(room).parts[0] != "core"
        and path.name not in SHELL_BY_NATURE
        and str(path.parent.relative_to(PRODUCT)) not in DESCRIBES
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_a_pure_file_stands_in_core(service: str) -> None:
    pure = [str(path.relative_to(PRODUCT)) for path in of_the_shell(service) if is_pure(path, service)]
    assert pure == [], f"git mv into {service}/core/"


@pytest.mark.parametrize("service", SERVICES)
def test_a_core_imports_no_shell(service: str) -> None:
    own, core = f"dronedispatch.{service}.", f"dronedispatch.{service}.core"
    wrong = {
        str(path.relative_to(PRODUCT)): name
        for path in (PRODUCT / service / "core").rglob("*.py")
        for name in imported(path)
        if name.startswith(own) and not name.startswith(core)
    }
    assert wrong == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_made_by_create_service(service: str) -> None:
    made = [node for node in tree(PRODUCT / service / "app.py").body if isinstance(node, ast.FunctionDef)]
    create_app = next(node for node in made if node.name == "create_app")
    called = {
        node.func.id
        for node in ast.walk(create_app)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "create_service" in called, "see runtime/service.py: one shape for all services"


@pytest.mark.parametrize("service", SERVICES)
def test_the_routes_of_a_service_are_where_a_reader_looks(service: str) -> None:
    places = [path for path in PRODUCT.glob(f"{service}/routes*") if path.name in {"routes.py", "routes"}]
    assert len(places) == 1
    files = [places[0]] if places[0].is_file() else list(places[0].glob("*.py"))
    named = {node.name for path in files for node in tree(path).body if isinstance(node, ast.FunctionDef)}
    assert "add_routes" in named
