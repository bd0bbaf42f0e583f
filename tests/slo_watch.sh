#!/usr/bin/env bash
# Watches the SLOs of a running system without sending it an order; the work is done in loadtests/slo_watch.py.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[[ -x $root/.venv/bin/python ]] || { echo "tests/slo_watch.sh: run scripts/up or scripts/test once, they make .venv" >&2; exit 2; }
PYTHONPATH=$root exec "$root/.venv/bin/python" -m loadtests.slo_watch "$@"
