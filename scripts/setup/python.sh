# shellcheck shell=bash
# Sourced by the scripts that are written in Python: runs a module of scripts/local in the checkout's environment.

unset PYTHONHOME # the user's, of another Python: as venv's own activate does it
{ :; } 2>/dev/null 3>&1 || exec >/dev/null # whoever called has closed it

# shellcheck disable=SC2154  # root is set by the script that sources this
# run_local MODULE ARGUMENT...: does not come back. --help needs nothing but a Python.
run_local() {
  local argument
  if [[ ! -x $root/.venv/bin/python ]] && python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    for argument in "${@:2}"; do
      case "$argument" in
        -h | --help) PYTHONPATH=$root:$root/services exec python3 -P -m "scripts.local.$1" "${@:2}" ;;
      esac
    done
  fi
  run_module "scripts.local.$1" "${@:2}"
}

# venv_is_here: whether the programs of .venv name this very folder, and not one from which it was moved or copied.
venv_is_here() {
  local named
  named=$(sed -n '1,2s/^.*[!" ]\(\/.*\)\/bin\/python.*$/\1/p' "$root/.venv/bin/dronedispatch" 2>/dev/null | sed -n 1p)
  [[ $named -ef $root/.venv ]]
}

# run_module NAME ARGUMENT...: does not come back.
run_module() { run_python scripts.local.entry "$@"; }

# run_python NAME ARGUMENT...: the same for a module that is not ours.
run_python() {
  if [[ ! -x $root/.venv/bin/python ]]; then
    echo "error: nothing is installed in this checkout yet: run scripts/install-tools" >&2
    exit 1
  fi
  if ! venv_is_here; then
    echo "error: this checkout was moved or copied since its set-up, or that was cut short: run scripts/install-tools" >&2
    exit 1
  fi
  PYTHONPATH=$root exec "$root/.venv/bin/python" -P -m "$1" "${@:2}"
}
