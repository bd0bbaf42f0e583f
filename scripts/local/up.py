"""`scripts/up`: the whole system on this machine."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Any

from scripts.cluster.patience import Patience
from scripts.local import chargers, leftovers, options, overrides, system
from scripts.local.home import CHECKOUT, Home, write_private
from scripts.local.options import Options, Request
from scripts.local.supervisor import Supervisor, check_descriptors, escape
from scripts.local.system import System, home_argument
from scripts.local.table import own_settings
from scripts.local.trouble import Trouble, interruptible, run_command

from dronedispatch.runtime import output

BELONGS_TO_DATA = ("kvstores", "rf")


def decide(given: Mapping[str, Any], before: Options | None) -> Options:
    """What to start: the options given, over what belongs to the data of this home, over the defaults.

    Raises Trouble when the options contradict each other or the data.
    """
    kept: dict[str, Any] = {}
    if before is not None:
        kept = {name: getattr(before, name) for name in BELONGS_TO_DATA}
        if given.get("kvstores", before.kvstores) < before.kvstores:
            raise Trouble(
                f"this home's data lies on {before.kvstores} kvstores: start with as many, or empty with --fresh"
            )
        if given.get("rf", before.rf) != before.rf:
            raise Trouble(
                f"this home's store was made with --rf {before.rf}: keep it, or start empty with --fresh"
            )
    elif "kvstores" in given and "rf" not in given:
        kept = {"rf": min(Options().rf, int(given["kvstores"]))}
    try:
        return Options(**{**kept, **given})
    except ValueError as error:
        raise Trouble(f"{error}: see scripts/up --help") from error


def door(running: System) -> chargers.Door:
    """The public door, to ask it."""
    return chargers.Door(running.url, running.certificate)


def addresses(running: System) -> str:
    """What a newcomer wants to open, and how to place the first order."""
    ports, home, public = running.options.ports, running.home, running.url
    here = os.path.relpath(home.root) if home.root.is_relative_to(CHECKOUT) else str(home.root)
    tokens = {name: shlex.quote(f"{here}/tokens/{name}") for name in ("operator", "amqp_password")}
    rows = [
        ("Dashboard", f"{public}/dashboard"),
        ("API", f"{public}/docs"),
        ("Load balancer", f"http://127.0.0.1:{ports.lb_control}/  (token: cat {tokens['operator']})"),
        ("Consul", f"http://127.0.0.1:{ports.consul_http}/ui"),
    ]
    if running.own_broker:
        who = f"(user dronedispatch, password: cat {tokens['amqp_password']})"
        rows.append(("RabbitMQ", f"http://127.0.0.1:{ports.amqp_management}/  {who}"))
    rows += [
        ("Load test", f"scripts/load{home_argument(home)}  (then open http://127.0.0.1:{ports.locust})"),
        ("Look inside", f"scripts/status{home_argument(home)}, scripts/logs{home_argument(home)} NAME"),
        ("Stop", f"scripts/down{home_argument(home)}"),
    ]
    table = "\n".join(f"  {name:<14}{value}" for name, value in rows)
    city = chargers.city_at(door(running))
    places = chargers.FIRST_ORDER if city is None else chargers.first_order(city)
    if places is None:
        return f"{table}\n\nPlace an order: click two points on the dashboard's map."
    origin, destination = (f'{{"lat": {place.lat}, "lon": {place.lon}}}' for place in places)
    order = f'{{"origin": {origin}, "destination": {destination}, "weight": 1.2}}'
    known = " -k" if running.certificate else ""  # by whatever has signed it: it is this machine's
    curl = f"  curl -sS{known} -X POST {public}/deliveries -H 'Content-Type: application/json' \\\n    -d '{order}'"
    return f"{table}\n\nPlace an order:\n{curl}"


def say(text: str) -> None:
    """One line of progress, at once. A reader that has gone (a pager, a closed terminal) stops nothing by that."""
    try:
        print(text, flush=True)
    except OSError:
        output.drop()


def bring_up(request: Request, environ: Mapping[str, str]) -> System:
    """Make the home's system run as asked; returns it healthy. Raises Trouble."""
    home = Home(request.home)
    escape(str(home.root))
    home.check_ours()
    with home.claim():
        if Supervisor(home).answers():
            return _already_there(request, home)
        leftovers.end(home)  # of a supervisord that was killed
        if request.fresh:
            home.empty()
        before = None if home.recall() is None else system.of_home(home).options
        wanted = System(
            home,
            decide(request.given, before),
            own_broker=not environ.get("AMQP_URL"),
            settings=own_settings(environ),
        )
        chargers.check(wanted.options.city)
        why_not = why_not_listen(wanted.options.listen, environ)
        if why_not is not None:
            raise Trouble(why_not)
        check_descriptors()
        home.prepare()
        overrides.check(wanted.processes, environ)
        wanted.check_ports(say)
        wanted.write_files()
        say(f"Starting {len(wanted.processes)} processes in {home.root}")
        system.remember(wanted)
        write_private(home.supervisor_config, wanted.supervisor_configuration(environ))
        try:
            wanted.launch()
            wanted.start(lambda line: say(f"  {line}"))
            _suit(wanted)
        except (KeyboardInterrupt, Trouble, OSError) as why:
            if isinstance(why, KeyboardInterrupt) or not request.detach:
                say("Stopping what was started")
                stop(wanted)
            raise
    return wanted


def _suit(running: System) -> None:
    token = running.home.secret("operator").read_text(encoding="utf-8").strip()
    told = chargers.suit(door(running), token, running.options.drones, running.options.city)
    if told is not None:
        say(f"  {told}")


def why_not_listen(listen: str, environ: Mapping[str, str]) -> str | None:
    """None when the load balancer may be opened at `listen` as its settings are."""
    if environ.get("LB_TLS_CERT") or environ.get("LB_PLAIN", "loopback") != "loopback":
        return None
    try:
        if ipaddress.ip_address(listen).is_loopback:
            return None
    except ValueError:  # a name: the load balancer judges the address that it stands for
        return None
    return (
        f"--listen {listen} opens the load balancer to other machines without TLS: set LB_TLS_CERT and LB_TLS_KEY to PEM "
        "files, or say LB_PLAIN=clients (orders over plain HTTP; tokens are refused)"
    )


def _already_there(request: Request, home: Home) -> System:
    running = system.of_home(home)
    if request.fresh:
        raise Trouble(
            f"a system runs in {home.root}: stop it with scripts/down{home_argument(home)} before --fresh"
        )
    now = dataclasses.asdict(running.options)
    other = [f"--{name.replace('_', '-')}" for name, value in request.given.items() if now[name] != value]
    if other:
        raise Trouble(
            f"a system runs in {home.root} with another {' and '.join(other)}: "
            f"stop it first with scripts/down{home_argument(home)}"
        )
    say(f"A system already runs in {home.root}")
    running.start(lambda line: say(f"  {line}"))  # whatever of it had been stopped or is not well yet
    if "city" in request.given:  # a start that ended before it was stored has left the default one
        _suit(running)
    return running


def stop(running: System) -> None:
    """Stop it in order. Who interrupts again need not wait for that: what still runs is then ended at once."""
    try:
        interruptible()
        running.stop(say)
    except KeyboardInterrupt:
        say("Once more: ending at once what still runs")
        running.end()


def watch(running: System) -> None:
    """Tell about every process that is restarted, until Ctrl-C or until somebody else stops the system."""
    told = running.supervisor.restarts()
    while Patience(5.0).until(running.supervisor.answers):
        for name, count in running.supervisor.restarts().items():
            if count > told.get(name, 0):
                say(
                    f"{name} ended and was started again ({count}): scripts/logs{home_argument(running.home)} {name}"
                )
                told[name] = count
        time.sleep(1.0)
    if leftovers.pids_of(running.home):
        raise system.not_running(running.home)
    say("The system was stopped from elsewhere.")


def main() -> None:
    """Entry point."""
    request = options.parse(sys.argv[1:])

    def command() -> int:
        was_there = Supervisor(Home(request.home)).answers()
        began_s = time.monotonic()
        running = bring_up(request, os.environ)
        stays = request.detach or was_there
        try:  # from here on: a Ctrl-C that comes while we still print stops the system all the same
            say(f"\nHealthy after {time.monotonic() - began_s:.1f} s.\n\n{addresses(running)}\n")
            if not stays:
                say("It goes on until Ctrl-C.")
                watch(running)
        except KeyboardInterrupt:
            if stays:
                raise
            say("\nStopping")
            with running.home.claim():
                stop(running)
            say("Stopped; the data is kept.")
        return 0

    run_command(command, lambda: request.home)


if __name__ == "__main__":
    main()
