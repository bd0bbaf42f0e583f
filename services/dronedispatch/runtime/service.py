"""The one shape of a service: made, started, left and stopped by the web process around it.

    app, opened = create_service("dispatcher", settings.process, lambda app: Dispatcher(settings, app.ctx.process))
    add_routes(app, opened)

A service is made when its process has bound its port (or `at_once`, if its parts are wanted before that), and started
before the first request. At a stop it leaves while its port is still open, and stops after the last answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from sanic import Sanic

from dronedispatch.runtime import garbage
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.loops import Tasks
from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import create_web


class Service(Protocol):
    """The parts of one of our processes, and what they say of themselves."""

    def why_not_ready(self) -> str | None:
        """Why it should get no requests now; None: it should."""

    def facts(self) -> Facts:
        """What it knows of its health beside that: see runtime/health.py."""

    def health(self) -> dict[str, object]:
        """Members of the health document."""

    async def start(self, tasks: Tasks) -> None:
        """Open what it needs and begin what goes on in the background."""

    async def leave(self) -> None:
        """Hand over what others can do, while requests are still answered."""

    async def stop(self) -> None:
        """After the last answer: close everything."""


S = TypeVar("S", bound=Service)


class Opened(Generic[S]):
    """The service, once it is made: `opened()`. `made` is None before."""

    def __init__(self) -> None:
        self.made: S | None = None

    def __call__(self) -> S:
        assert self.made is not None, "a service is made before its process serves"
        return self.made

    def why_not_ready(self) -> str | None:
        """As the service says."""
        return "starting" if self.made is None else self.made.why_not_ready()

    def health(self) -> dict[str, object]:
        """As the service says."""
        return {} if self.made is None else self.made.health()

    def facts(self) -> Facts:
        """As the service says."""
        return Facts() if self.made is None else self.made.facts()


def create_service(
    name: str,
    settings: ProcessSettings,
    make: Callable[[Sanic[Any, Any]], S],
    *,
    at_once: bool = False,
) -> tuple[Sanic[Any, Any], Opened[S]]:
    """The web process of a service, not yet serving, and where its routes find the service."""
    opened: Opened[S] = Opened()
    app = create_web(
        name, settings, ready=opened.why_not_ready, health_extra=opened.health, facts=opened.facts
    )
    if at_once:
        opened.made = make(app)

    @app.before_server_start
    async def start(app: Sanic[Any, Any]) -> None:
        if not at_once:
            opened.made = make(app)
        await opened().start(app.ctx.tasks)
        garbage.search_rarely()

    @app.before_server_stop
    async def leave(_app: Sanic[Any, Any]) -> None:
        await opened().leave()

    @app.after_server_stop
    async def stop(_app: Sanic[Any, Any]) -> None:
        await opened().stop()

    return app, opened
