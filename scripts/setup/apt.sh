# shellcheck shell=bash
# Sourced by the set-up scripts: how they speak, how they become root, how they ask apt.
#
# Every function that changes the machine is bounded in time and says what it does before it does it.

unset PYTHONHOME # the user's, of another Python: as venv's own activate does it
{ :; } 2>/dev/null 3>&1 || exec >/dev/null # whoever called has closed it

say() { printf '%s\n' "$*" 2>/dev/null || die "standard output takes nothing: write to another place"; }

# Ends the script with one sentence and what to do. Exit code 1: the machine lacks something.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

on_mac() { [[ "$(uname -s)" == Darwin ]]; }

# Says whether `as_root` can work, without asking for a password.
can_be_root() {
  [[ $EUID -eq 0 ]] && return 0
  have sudo && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  else
    sudo "$@"
  fi
}

# need_root WHAT COMMAND: ends with one sentence when packages cannot be installed from here.
need_root() {
  can_be_root || die "installing $1 wants root and there is no usable sudo: let an administrator run '$2', then run this again"
}

# One set-up of a checkout at a time: two would meet in .venv. The second waits for the first; what the first calls is part of it.
# shellcheck disable=SC2154  # root is set by the script that sources this
claim_set_up() {
  [[ ${DD_SET_UP:-} != "$root" ]] || return 0
  mkdir -p "$root/.tools" 2>/dev/null || true
  [[ -w $root && -w $root/.tools ]] ||
    die "no right to write $root: run this as its owner ($(stat -c %U "$root" 2>/dev/null || stat -f %Su "$root")), or clone it anew"
  have flock || return 0 # macOS has none
  exec 9>"$root/.tools/lock"
  flock -w 900 9 || die "another set-up of this checkout has been running for 15 minutes: end it, then run this again"
  export DD_SET_UP=$root
}

apt_candidate() {
  local candidate
  candidate=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
  [[ -n "$candidate" && "$candidate" != "(none)" ]]
}

# Says whether apt knows nothing at all: the lists were never fetched, as in an image for containers.
apt_lists_missing() { have apt-get && ! compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null; }

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -q -o DPkg::Lock::Timeout=180 -o Acquire::Retries=2 "$@"; }

# Refreshes the package lists; a mirror that does not answer is no error while the lists at hand still name what we want.
apt_refresh() {
  say "  refreshing the package lists"
  apt_get update >/dev/null 2>&1 || say "  (the lists could not be refreshed; going on with those at hand)"
}

readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_ASIDE=/usr/sbin/policy-rc.d.dronedispatch-aside
readonly POLICY_OURS='# of the set-up of DroneDispatch, while apt-get runs'

release_services() {
  if [[ -e $POLICY_ASIDE ]]; then
    as_root mv -f "$POLICY_ASIDE" "$POLICY"
  else
    as_root rm -f "$POLICY"
  fi
}

# Debian starts a package's daemon at once; policy-rc.d with exit 101 forbids it, for this one call only.
hold_services() {
  if [[ -e $POLICY && ! -e $POLICY_ASIDE ]] && ! grep -qF "$POLICY_OURS" "$POLICY"; then # ours: of a call that was killed
    as_root mv "$POLICY" "$POLICY_ASIDE"
  fi
  trap release_services EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_OURS" | as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
}

# apt_install_quiet PACKAGE...: installs without recommended packages and without starting a daemon.
apt_install_quiet() {
  local output
  hold_services
  if ! output=$(apt_get install -y --no-install-recommends "$@" 2>&1); then
    printf '%s\n' "$output" | tail -n 15 >&2
    if df -Pk / | awk 'NR == 2 { exit !($4 < 300000) }'; then
      die "the disk is full: free 300 MB on /, then run this again"
    fi
    die "apt-get could not install $* (its last lines are above): repair that, then run this again"
  fi
  release_services
  trap - EXIT INT TERM
}

# A daemon that we installed for our private use must not start at the next boot either.
leave_unit_off() {
  if [[ -d /run/systemd/system ]]; then
    as_root systemctl disable "$1" >/dev/null 2>&1 || true
  fi
}
