"""The command line of kvctl: verbs, options, help with examples."""

from __future__ import annotations

import argparse

from dronedispatch.kvctl import verbs

EXAMPLES = """examples:
  dronedispatch kvctl bootstrap --rf 2            write the first view, once all kvstores are registered
  dronedispatch kvctl view                        who holds which slots
"""


def parser() -> argparse.ArgumentParser:
    """The parser; each verb sets `run`."""
    top = argparse.ArgumentParser(
        prog="dronedispatch kvctl",
        description="Look into the store and change who holds what (CONSUL_HTTP_ADDR, STORE_TOKEN_FILE).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    bootstrap = commands.add_parser("bootstrap", help="write the first view over the registered kvstores")
    bootstrap.add_argument("--rf", type=int, default=2, help="copies of each key (default 2)")
    bootstrap.add_argument("--replicas", type=int, help="wait for so many kvstores (default: rf)")
    bootstrap.add_argument(
        "--within", type=float, default=60.0, metavar="S", help="wait at most so long (default 60)"
    )
    bootstrap.set_defaults(run=verbs.bootstrap)
    view = commands.add_parser("view", help="who holds which slots, and how each replica stands")
    view.set_defaults(run=verbs.view)
    return top
