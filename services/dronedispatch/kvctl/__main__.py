"""`dronedispatch kvctl`: the operator's tool of the store."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from dronedispatch.kv.errors import KVError, OutcomeUnknown
from dronedispatch.kvctl import arguments
from dronedispatch.kvctl.session import CannotDo, UnknownChange, opened
from dronedispatch.kvctl.settings import Settings
from dronedispatch.runtime.home import NoHome, environment_for
from dronedispatch.runtime.settings import SettingsError, load


def main(argv: Sequence[str] | None = None) -> int:
    """0: done. 1: it could not be done, and stderr says why. 2: a wrong call. 3: a wanted difference was found (verify).
    4: unknown: it may have been done."""
    parsed = arguments.parser().parse_args(argv)
    try:
        return asyncio.run(_run(parsed))
    except OutcomeUnknown as error:
        sys.stderr.write(
            f"kvctl {parsed.command}: it may have been done ({error}): look with `dronedispatch kvctl get` or `scan` before "
            "you try again\n"
        )
        return 4
    except UnknownChange as error:
        sys.stderr.write(f"kvctl {parsed.command}: {error}\n")
        return 4
    except (CannotDo, KVError, SettingsError, NoHome) as error:
        sys.stderr.write(f"kvctl {parsed.command}: {error}\n")
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        return 1


async def _run(parsed: argparse.Namespace) -> int:
    settings = load(Settings, "KVCTL", environment_for(parsed.home, os.environ))
    async with opened(settings) as session:
        code: int = await parsed.run(session, parsed)
        return code


if __name__ == "__main__":
    raise SystemExit(main())
