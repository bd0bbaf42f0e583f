"""`python -m scripts.local.entry MODULE ARGUMENT...`: a program of ours, which a Ctrl-C ends without a traceback even while
it is imported. From then on it says itself what an interruption means (trouble.py).
"""

from __future__ import annotations

import runpy
import signal
import sys


def main() -> None:
    """Entry point."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
