"""supervisord that outlives a full disk: `python -P scripts/local/supervise.py -c FILE`, with supervisord's own options.

supervisord 4.3 ends there: a log that takes no line makes it write a traceback to its standard error, which is on the same
disk; what that raises closes the pipe of the process whose line it was, and then ends supervisord. Here such a line is lost.
"""

from __future__ import annotations

import contextlib
from typing import Any

from supervisor import loggers, supervisord

write_and_rotate = loggers.RotatingFileHandler.emit


def emit(handler: Any, record: Any) -> None:
    """A log whose file could not be begun anew is tried again at the next line."""
    try:
        write_and_rotate(handler, record)
    except (OSError, ValueError):  # ValueError: the file is closed, since the turn before failed half-way
        with contextlib.suppress(OSError):
            handler.reopen()


def main() -> None:
    """Entry point."""
    loggers.Handler.handleError = lambda _handler: None
    loggers.RotatingFileHandler.emit = emit
    supervisord.main()


if __name__ == "__main__":
    main()
