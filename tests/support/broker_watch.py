"""scripts/provision/broker-watch without systemd."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.netns import Host

ROOT = Path(__file__).resolve().parents[2]
WATCH = ROOT / "scripts" / "provision" / "broker-watch"


def start_watch(
    host: Host,
    addresses: Sequence[str],
    broker: subprocess.Popen[bytes],
    log: Path,
    environ: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """The unit rabbitmq-watch of one start of a broker, which has its `log` for itself.

    It has started when that says so; where systemd would start it again, it is ended, and the caller starts it.
    """
    told = {"WATCH_RUNNING": f"grep -q completed.with {log}", "WATCH_RESTART": f"kill -9 -- -{broker.pid}"}
    return host.start([str(WATCH), *addresses], {**environ, **told}, log.with_name("broker-watch.log"))
