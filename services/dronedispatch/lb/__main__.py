"""`python -m dronedispatch.lb`: the door, from the environment (LB_*)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from dronedispatch.lb.app import create_app
from dronedispatch.lb.settings import from_environment
from dronedispatch.lb.workers import supervise
from dronedispatch.runtime.serve import CannotListen, serve
from dronedispatch.runtime.settings import SettingsError


def main(environ: Mapping[str, str]) -> None:
    """Run until SIGTERM. Exits 2 with one sentence for a wrong setting or a taken port."""
    try:
        settings = from_environment(environ)
        if settings.processes > 1:
            supervise(settings, environ)
            return
        app = create_app(settings, environ)
    except (SettingsError, CannotListen) as error:
        sys.stderr.write(f"lb: {error}\n")
        raise SystemExit(2) from error
    serve(app)


if __name__ == "__main__":
    main(os.environ)
