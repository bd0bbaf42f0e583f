# shellcheck shell=bash
# Sourced by the scripts that are written in Python: runs a module of scripts/local in the checkout's environment.

# shellcheck disable=SC2154  # root is set by the script that sources this
# run_local MODULE ARGUMENT...: does not come back.
run_local() {
  local module=$1 python=$root/.venv/bin/python argument
  shift
  if [[ ! -x $python ]]; then
    python=python3 # --help needs nothing but a Python
    for argument in "$@" none; do
      case "$argument" in
        -h | --help) break ;;
        none)
          echo "error: nothing is installed in this checkout yet: run scripts/up" >&2
          exit 1
          ;;
      esac
    done
  fi
  PYTHONPATH=$root exec "$python" -P -m "scripts.local.$module" "$@"
}
