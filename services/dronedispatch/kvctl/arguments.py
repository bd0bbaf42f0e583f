"""The command line of kvctl: verbs, options, help with examples."""

from __future__ import annotations

import argparse
from pathlib import Path

from dronedispatch.kvctl import adopt, backup, placing, recover, transfer, values, verbs, verify

EXAMPLES = """examples:
  dronedispatch kvctl bootstrap --rf 2              write the first view, once all kvstores are registered
  dronedispatch kvctl view                          who holds which slots, and how each replica stands
  dronedispatch kvctl put greeting hello            store a value; @file and - (stdin) work too
  dronedispatch kvctl get greeting
  dronedispatch kvctl cas greeting hi --expected 1.1
  dronedispatch kvctl scan --prefix delivery: --tag status=pending --values
  dronedispatch kvctl lock acquire nightly --owner me --ttl-ms 60000
  dronedispatch kvctl rebalance                     spread the slots over a replica that is new
  dronedispatch kvctl move 0-15 --to kvstore-4,kvstore-1
  dronedispatch kvctl drain kvstore-4               move everything away from it, then forget it
  dronedispatch kvctl verify --repair               compare the replicas
  dronedispatch kvctl export store.jsonl && dronedispatch kvctl import store.jsonl
  dronedispatch kvctl backup store.backup           everything in one checked file, while the store serves
  dronedispatch kvctl restore store.backup          and back, into an empty store
  dronedispatch kvctl adopt                         a home that was copied whole serves again
  dronedispatch kvctl recover                       a view again, after Consul has lost it

--home DIR finds Consul and the store's token of a system on this machine. Elsewhere CONSUL_HTTP_ADDR says where Consul
is, STORE_TOKEN_FILE names the file with the token.
"""

Commands = argparse._SubParsersAction


def parser() -> argparse.ArgumentParser:
    """The parser; each verb sets `run`."""
    top = argparse.ArgumentParser(
        prog="dronedispatch kvctl",
        description="Look into the store, and change who holds what.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--home",
        type=Path,
        metavar="DIR",
        help="a home of this machine (default: DD_HOME, or .run): its Consul and tokens",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    _cluster(commands)
    _values(commands)
    _placing(commands)
    _transfer(commands)
    return top


def _cluster(commands: Commands[argparse.ArgumentParser]) -> None:
    bootstrap = commands.add_parser("bootstrap", help="write the first view over the registered kvstores")
    bootstrap.add_argument("--rf", type=int, default=2, help="copies of each key (default 2)")
    bootstrap.add_argument("--replicas", type=int, help="wait for so many kvstores (default: rf)")
    bootstrap.add_argument(
        "--within", type=float, default=60.0, metavar="S", help="wait at most so long (default 60)"
    )
    bootstrap.set_defaults(run=verbs.bootstrap)
    view = commands.add_parser("view", help="who holds which slots, and how each replica stands")
    view.add_argument("--slots", action="store_true", help="one line a slot, too")
    view.set_defaults(run=verbs.view)
    again = commands.add_parser("recover", help="a view again, after Consul has lost it or was put back")
    again.add_argument(
        "--accept-loss", metavar="SLOTS", help="slots whose last in-sync disk is gone, e.g. 3,7,10-12"
    )
    again.add_argument(
        "--without-all", action="store_true", help="although not every replica, or view, is there"
    )
    again.set_defaults(run=recover.recover)
    copied = commands.add_parser("adopt", help="let a home that was copied whole (cp -a, stopped) serve")
    copied.set_defaults(run=adopt.adopt)
    check = commands.add_parser(
        "verify", help="compare the in-sync replicas of every slot; exit code 3: they differ"
    )
    check.add_argument("--repair", action="store_true", help="read what differs through a coordinator")
    check.set_defaults(run=verify.verify)


def _values(commands: Commands[argparse.ArgumentParser]) -> None:
    get = commands.add_parser("get", help="print a value")
    get.add_argument("key")
    get.set_defaults(run=values.get)
    for name, run, text in (
        ("put", values.put, "store a value"),
        ("cas", values.cas, "store a value if the stored version is the expected one"),
    ):
        verb = commands.add_parser(name, help=text)
        verb.add_argument("key")
        verb.add_argument("value", help="the value; @path: a file, -: stdin")
        verb.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help="up to 8")
        verb.add_argument("--fence", metavar="TOKEN", help="a lock's token")
        if name == "cas":
            verb.add_argument("--expected", required=True, metavar="VERSION", help="e.g. 1.4; 0: absent")
        verb.set_defaults(run=run)
    delete = commands.add_parser("delete", help="delete a key")
    delete.add_argument("key")
    delete.add_argument("--expected", metavar="VERSION", help="only this version")
    delete.set_defaults(run=values.delete)
    scan = commands.add_parser("scan", help="list keys")
    scan.add_argument("--prefix")
    scan.add_argument("--tag", metavar="NAME=VALUE")
    scan.add_argument("--after", metavar="KEY")
    scan.add_argument("--limit", type=int, default=1_000_000_000, metavar="N")
    scan.add_argument("--reverse", action="store_true")
    scan.add_argument("--values", action="store_true", help="JSON lines instead of keys")
    scan.set_defaults(run=values.scan)
    lock = commands.add_parser("lock", help="acquire, renew or release a lock")
    lock.add_argument("action", choices=["acquire", "renew", "release"])
    lock.add_argument("name")
    lock.add_argument("--owner", required=True)
    lock.add_argument("--ttl-ms", type=int, default=30_000, metavar="MS")
    lock.add_argument("--token", metavar="TOKEN", help="what acquire printed")
    lock.set_defaults(run=values.lock)


def _placing(commands: Commands[argparse.ArgumentParser]) -> None:
    move = commands.add_parser("move", help="give slots to named replicas")
    move.add_argument("slots", help="e.g. 3,7,10-12")
    move.add_argument("--to", required=True, metavar="NAMES", help="comma-separated, the primary first")
    rebalance = commands.add_parser("rebalance", help="spread the slots evenly over all registered replicas")
    rebalance.add_argument("--rf", type=int, help="another number of copies (default: as it is)")
    drain = commands.add_parser("drain", help="move everything away from a replica, then forget it")
    drain.add_argument("name")
    for verb, run in ((move, placing.move), (rebalance, placing.rebalance), (drain, placing.drain)):
        verb.add_argument(
            "--wait", type=float, default=120.0, metavar="S", help="until settled; 0: do not (default 120)"
        )
        verb.set_defaults(run=run)


def _transfer(commands: Commands[argparse.ArgumentParser]) -> None:
    saved = commands.add_parser(
        "backup", help="write every value into one checked file; the store goes on serving"
    )
    saved.add_argument("file")
    saved.add_argument("--overwrite", action="store_true", help="in the place of a file of that name")
    saved.set_defaults(run=backup.backup)
    restored = commands.add_parser("restore", help="write what backup wrote into an empty store")
    restored.add_argument("file")
    restored.add_argument(
        "--missing", action="store_true", help="only keys that do not exist; or go on after a failure"
    )
    restored.set_defaults(run=backup.restore)
    export = commands.add_parser("export", help="write all values as JSON lines")
    export.add_argument("file", nargs="?", default="-", help="default: stdout")
    export.add_argument("--prefix")
    export.set_defaults(run=transfer.export)
    lines = commands.add_parser("import", help="store what export wrote")
    lines.add_argument("file", nargs="?", default="-", help="default: stdin")
    lines.add_argument("--missing", action="store_true", help="only keys that do not exist")
    lines.set_defaults(run=transfer.import_lines)
