#!/usr/bin/env bash
# Watches the SLOs of a running system without sending it an order; the work is done in loadtests/slo_watch.py.
set -euo pipefail
root=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/setup/python.sh
source "$root/scripts/setup/python.sh"
run_module loadtests.slo_watch "$@"
