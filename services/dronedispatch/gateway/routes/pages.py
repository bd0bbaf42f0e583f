"""The dashboard, the documentation page and what they load: files of this package, no outside asset."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from sanic import HTTPResponse, Request
from sanic.response import empty, html, raw, redirect

from dronedispatch.gateway.core.headers import IF_NONE_MATCH
from dronedispatch.gateway.core.problem_pages import index_page, problem_page
from dronedispatch.gateway.core.problem_types import BY_NAME
from dronedispatch.gateway.openapi.document import document
from dronedispatch.gateway.routes import input as given
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class File:
    """One static file, read once."""

    body: bytes
    kind: str
    etag: str


def load_files() -> Mapping[str, File]:
    """Everything under gateway/static, by its path."""
    return dict(_walk(resources.files("dronedispatch.gateway").joinpath("static"), ""))


def _walk(folder: Traversable, path: str) -> list[tuple[str, File]]:
    found: list[tuple[str, File]] = []
    for entry in folder.iterdir():
        name = f"{path}{entry.name}"
        suffix = "." + entry.name.rpartition(".")[2]
        if entry.is_dir():
            found.extend(_walk(entry, f"{name}/"))
        elif suffix in KINDS:
            body = entry.read_bytes()
            found.append((name, File(body, KINDS[suffix], f'"{hashlib.sha256(body).hexdigest()[:20]}"')))
    return found


class PageRoutes:
    """Handlers."""

    def __init__(self) -> None:
        self._files = load_files()
        self._document = document()

    async def home(self, _request: Request) -> HTTPResponse:
        return redirect("/dashboard")

    async def dashboard(self, request: Request) -> HTTPResponse:
        return self._send(request, "index.html")

    async def asset(self, request: Request, path: str) -> HTTPResponse:
        return self._send(request, path)

    async def docs(self, request: Request) -> HTTPResponse:
        return self._send(request, "docs.html")

    async def openapi(self, _request: Request) -> HTTPResponse:
        return json_answer(self._document)

    async def problems(self, _request: Request) -> HTTPResponse:
        return html(index_page(), headers=SECURITY)

    async def problem(self, _request: Request, name: str) -> HTTPResponse:
        kind = BY_NAME.get(name)
        if kind is None:
            raise Problem(404, f"no kind of problem {name[:80]!r}", field="name")
        return html(problem_page(kind), headers=SECURITY)

    def _send(self, request: Request, name: str) -> HTTPResponse:
        file = self._files.get(name)
        if file is None:
            raise Problem(404, f"no file {name[:80]!r}", field="path")
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"} | SECURITY
        if given.is_known(given.header(request, IF_NONE_MATCH), file.etag.strip('"')):
            return empty(304, headers=headers)
        return raw(file.body, content_type=file.kind, headers=headers)
