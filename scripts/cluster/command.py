"""Runs a program of scripts/cluster so that Ctrl-C, a closed pipe and a disk that refuses are told in a sentence."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence

from scripts.local.trouble import Trouble

from dronedispatch.runtime import output

GOES_ON = {
    "deploy": "what Nomad was told goes on: scripts/status --nomad shows it",
    "rotate": "run scripts/rotate-tokens again; what a variable holds is accepted until then",
}


def main(argv: Sequence[str]) -> int:
    """MODULE and its arguments; the module's exit code, 130 after Ctrl-C, 141 when nobody reads any more."""
    name, *words = argv
    output.ensure()
    try:
        code = int(importlib.import_module(f"scripts.cluster.{name}").main(words))
        sys.stdout.flush()
    except Trouble as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: {GOES_ON.get(name, 'run it again')}", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `| head` has read enough
        output.drop()
        return 128 + signal.SIGPIPE
    except OSError as exc:
        place = f"{exc.filename}: " if exc.filename else ""
        print(f"error: {place}{exc.strerror or exc}: mend that, then run this again", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
