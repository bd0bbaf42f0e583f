"""`dronedispatch dead-letters`: what no consumer could handle, with its reasons; give it back, or drop it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from dronedispatch.runtime.home import NoHome, environment_for
from dronedispatch.runtime.settings import AmqpSettings, Secret, SettingsError, load
from dronedispatch.tool import render
from dronedispatch.tool.checkout import HomeOption, OutputOption
from dronedispatch.tool.errors import ToolError, WrongUse

if TYPE_CHECKING:
    from dronedispatch.runtime.dead_letters import DeadLetter, DeadLetters

BODY_SHOWN_MAX = 200
WITHIN_S = 60.0
DONE = {"list": "dead letters", "replay": "given back", "drop": "dropped"}

All = Annotated[bool, Parameter(name="--all", negative="", help="all of them")]


@dataclass(frozen=True, slots=True)
class Settings:
    """The same variables as every service."""

    amqp: AmqpSettings = field(default_factory=AmqpSettings)
    consul_addr: str = field(default="http://127.0.0.1:8500", metadata={"env": "CONSUL_HTTP_ADDR"})
    consul_token: Secret | None = field(default=None, metadata={"env": "CONSUL_HTTP_TOKEN"})
    consul_cacert: str | None = field(default=None, metadata={"env": "CONSUL_CACERT"})


def list_(
    *,
    limit: Annotated[int, Parameter(help="at most so many")] = 100,
    home: HomeOption = None,
    output: OutputOption = "table",
) -> int:
    """List the oldest, with queue, reason and body; they stay."""
    if limit < 1:
        raise WrongUse(f"--limit {limit} is not at least 1")
    return _tell("list", _run(home, lambda letters: letters.listed(limit)), output)


def replay(
    *ids: Annotated[str, Parameter(help="message ids, as list shows them")],
    all_: All = False,
    home: HomeOption = None,
    output: OutputOption = "table",
) -> int:
    """Give dead letters back to their queues."""
    chosen = _chosen("replay", ids, all_)
    return _tell("replay", _run(home, lambda letters: letters.replay(chosen)), output, chosen)


def drop(
    *ids: Annotated[str, Parameter(help="message ids, as list shows them")],
    all_: All = False,
    home: HomeOption = None,
    output: OutputOption = "table",
) -> int:
    """Forget dead letters."""
    chosen = _chosen("drop", ids, all_)
    return _tell("drop", _run(home, lambda letters: letters.drop(chosen)), output, chosen)


def _chosen(verb: str, ids: Sequence[str], everything: bool) -> frozenset[str] | None:
    if bool(ids) == everything:
        raise WrongUse(f"dead-letters {verb}: name message ids, or --all")
    return None if everything else frozenset(ids)


def _run(
    home: Path | None, work: Callable[[DeadLetters], Awaitable[Sequence[DeadLetter]]]
) -> Sequence[DeadLetter]:
    from aio_pika.exceptions import AMQPError  # here: every other command would pay for it

    from dronedispatch.runtime.consul import ConsulError

    try:
        settings = load(Settings, "DEADLETTERS", environment_for(home, os.environ))
        return asyncio.run(asyncio.wait_for(_asked(settings, work), WITHIN_S))
    except NoHome as error:
        raise ToolError(str(error)) from error
    except (AMQPError, ConsulError, OSError, TimeoutError, SettingsError) as error:
        raise ToolError(
            f"dead-letters: {error or type(error).__name__}: type dronedispatch doctor"
        ) from error


async def _asked(
    settings: Settings, work: Callable[[DeadLetters], Awaitable[Sequence[DeadLetter]]]
) -> Sequence[DeadLetter]:
    import aio_pika

    from dronedispatch.runtime.broker_source import BrokerSource
    from dronedispatch.runtime.consul import ConsulClient
    from dronedispatch.runtime.dead_letters import DeadLetters

    token = settings.consul_token.value if settings.consul_token else None
    consul = ConsulClient(settings.consul_addr, token=token, cacert=settings.consul_cacert)
    source = BrokerSource(settings.amqp, consul)
    source.start()
    try:
        connection = await aio_pika.connect(await source.url(), timeout=5.0, ssl_context=source.tls)
        async with connection:
            return await work(DeadLetters(await connection.channel(publisher_confirms=True)))
    finally:
        await source.stop()
        await consul.close()


def _tell(verb: str, letters: Sequence[DeadLetter], output: str, chosen: frozenset[str] | None = None) -> int:
    missing = sorted((chosen or frozenset()) - {one.message_id for one in letters})
    for name in missing:
        sys.stderr.write(f"dead-letters {verb}: {name} is not there, or has no queue to go to\n")
    if output == "json":
        render.print_json([_document(one) for one in letters])
    else:
        for one in letters:
            body = one.body[:BODY_SHOWN_MAX].decode(errors="replace")
            print(
                render.plain(f"{one.message_id}  {one.queue or '?'}  {one.reason}")
                + f"\n    {render.plain(body)}"
            )
        print(f"{len(letters)} {DONE[verb]}")
    return 1 if missing else 0


def _document(one: DeadLetter) -> dict[str, object]:
    return {
        "message_id": one.message_id,
        "queue": one.queue,
        "reason": one.reason,
        "body": one.body.decode(errors="replace"),
    }


def commands() -> App:
    """The command group."""
    app = App(name="dead-letters", help="Messages that nobody could handle: list, replay, drop.")
    for name, run in (("list", list_), ("replay", replay), ("drop", drop)):
        app.command(run, name=name)
    return app
