"""`dronedispatch dead-letters`: what no consumer could handle, with its reasons; give it back, or drop it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import aio_pika
from aio_pika.exceptions import AMQPError

from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.dead_letters import DeadLetter, DeadLetters
from dronedispatch.runtime.settings import AmqpSettings, Secret, SettingsError, load

BODY_SHOWN_MAX = 200
DONE = {"list": "dead letters", "replay": "given back", "drop": "dropped"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The same variables as every service."""

    amqp: AmqpSettings = field(default_factory=AmqpSettings)
    consul_addr: str = field(default="http://127.0.0.1:8500", metadata={"env": "CONSUL_HTTP_ADDR"})
    consul_token: Secret | None = field(default=None, metadata={"env": "CONSUL_HTTP_TOKEN"})
    consul_cacert: str | None = field(default=None, metadata={"env": "CONSUL_CACERT"})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(prog="dronedispatch dead-letters", description=__doc__)
    verbs = command.add_subparsers(dest="verb", required=True)
    listed = verbs.add_parser("list", help="the oldest, with queue, reason and body; they stay")
    listed.add_argument("--limit", type=int, default=100)
    for verb, text in (("replay", "give them back to their queues"), ("drop", "forget them")):
        given = verbs.add_parser(verb, help=text)
        given.add_argument("ids", nargs="*", metavar="ID", help="message ids, as list shows them")
        given.add_argument("--all", action="store_true", help="all of them")
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: done. 1: it could not be done, and stderr says why. 2: a wrong call."""
    parsed = parser().parse_args(argv)
    if parsed.verb != "list" and bool(parsed.ids) == parsed.all:
        sys.stderr.write(f"dead-letters {parsed.verb}: name message ids, or --all\n")
        return 2
    try:
        return asyncio.run(_run(parsed, load(Settings, "DEADLETTERS", os.environ)))
    except (AMQPError, OSError, TimeoutError, SettingsError) as error:
        sys.stderr.write(f"dead-letters {parsed.verb}: {error or type(error).__name__}\n")
        return 1


async def _run(parsed: argparse.Namespace, settings: Settings) -> int:
    token = settings.consul_token.value if settings.consul_token else None
    consul = ConsulClient(settings.consul_addr, token=token, cacert=settings.consul_cacert)
    source = BrokerSource(settings.amqp, consul)
    source.start()
    try:
        connection = await aio_pika.connect(await source.url(), timeout=5.0, ssl_context=source.tls)
        async with connection:
            letters = DeadLetters(await connection.channel(publisher_confirms=True))
            if parsed.verb == "list":
                found = await letters.listed(parsed.limit)
            else:
                ids = None if parsed.all else frozenset(parsed.ids)
                found = await (letters.replay(ids) if parsed.verb == "replay" else letters.drop(ids))
                missing = sorted((ids or frozenset()) - {one.message_id for one in found})
                for name in missing:
                    sys.stderr.write(
                        f"dead-letters {parsed.verb}: {name} is not there, or has no queue to go to\n"
                    )
    finally:
        await source.stop()
        await consul.close()
    for letter in found:
        sys.stdout.write(_line(letter))
    sys.stdout.write(f"{len(found)} {DONE[parsed.verb]}\n")
    return 0


def _line(letter: DeadLetter) -> str:
    body = letter.body[:BODY_SHOWN_MAX].decode(errors="replace")
    return f"{letter.message_id}  {letter.queue or '?'}  {letter.reason}\n    {body}\n"
