"""`scripts/scale gateway 5`: more or fewer of one service, on the running system, without a failed request."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from typing import Any

from scripts.local import broker, system
from scripts.local.home import DEFAULT, Home, named
from scripts.local.options import INSTANCES_MAX
from scripts.local.system import System, Watch, home_argument
from scripts.local.trouble import Trouble, run_command

COUNTED = {
    "gateway": "gateways",
    "kvfront": "kvfronts",
    "dispatcher": "dispatchers",
    "drone-sim": "drone_sims",
}


def scale(running: System, service: str, count: int) -> None:
    """Change the number of one service's processes: new ones are waited for, ended ones drain first. Raises Trouble."""
    before = {process.name for process in running.processes}
    counts: dict[str, Any] = {COUNTED[service]: count}
    wanted = System(
        running.home,
        dataclasses.replace(running.options, **counts),
        own_broker=running.own_broker,
        settings=running.settings,
    )
    names = [process.name for process in wanted.processes]
    mine = [process.name for process in wanted.processes if process.service == service]
    running.home.make_secrets()
    if running.own_broker:
        broker.give_users(running.home, running.options.ports)
    running.stop_processes(sorted(before - set(names)))  # each leaves Consul, answers what it has, then ends
    wanted.supervisor.adopt(wanted.supervisor_configuration(os.environ))
    system.remember(wanted)
    running_now = {state.name for state in wanted.supervisor.states() if state.state == "running"}
    added = [name for name in mine if name not in running_now]  # what an interrupted one has left, too
    for name in added:
        wanted.supervisor.start(name)
    Watch(wanted, lambda line: print(f"  {line}") if line.split()[2] in added else None).wait(mine)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="scripts/scale", description="Change how many processes of a service run, while they serve."
    )
    parser.add_argument(
        "service", choices=sorted(COUNTED), help="kvstores come and go by `dronedispatch kvctl` instead"
    )
    parser.add_argument("count", type=int, help=f"1..{INSTANCES_MAX}")
    parser.add_argument(
        "--home", type=named, default=DEFAULT, metavar="DIR", help="which system (default: .run)"
    )
    arguments = parser.parse_args(sys.argv[1:])
    home = Home(arguments.home)

    def command() -> int:
        if not 1 <= arguments.count <= INSTANCES_MAX:
            raise Trouble(f"{arguments.count} is outside 1..{INSTANCES_MAX}: choose a number in it")
        system.of_home(home)  # before the claim, which would make a folder of a wrong name
        with home.claim():
            running = system.of_home(home)
            if not running.supervisor.answers():
                raise system.not_running(home)
            try:
                scale(running, arguments.service, arguments.count)
            except KeyboardInterrupt:
                again = f"scripts/scale {arguments.service} {arguments.count}{home_argument(home)}"
                raise KeyboardInterrupt(f"what was begun goes on; {again} finishes it") from None
        print(f"{arguments.service}: {arguments.count}, all healthy")
        return 0

    run_command(command, lambda: home.root)


if __name__ == "__main__":
    main()
