# shellcheck shell=bash
# Sourced by every provisioner. Each runs as root on a machine of the cluster, any number of times: it compares, changes
# what differs, counts the changes and says so. What it is told comes from the environment (Vagrantfile):
#
#   DD_NAME DD_ADDRESS DD_ROLE     this machine: server-1, 192.168.56.11, server | client
#   DD_SERVERS                     "server-1=192.168.56.11 server-2=..." : every server
#   DD_MACHINES                    the same for every machine
#   DD_TREE                        the repository as shipped (default /vagrant)
#   DD_SECRETS                     the secrets as shipped (default /var/lib/dronedispatch-secrets)
#   DD_SECURE                      1: TLS between the agents and a deny-by-default Consul and Nomad
#   DD_OFFLINE                     1: take everything from DD_ARTIFACTS ($DD_TREE/.artifacts), ask no network
#   DD_PATIENCE                    how many times longer than usual to wait (scripts/try-vagrant: emulated machines are slow)
#   DD_CONSUL_VERSION DD_NOMAD_VERSION DD_RELEASE

DD_TREE=${DD_TREE:-/vagrant}
DD_SECRETS=${DD_SECRETS:-/var/lib/dronedispatch-secrets}
DD_SECURE=${DD_SECURE:-0}
DD_OFFLINE=${DD_OFFLINE:-0}
DD_PATIENCE=${DD_PATIENCE:-1}
DD_CONSUL_VERSION=${DD_CONSUL_VERSION:-1.22.3}
DD_NOMAD_VERSION=${DD_NOMAD_VERSION:-2.0.5}
artifacts=${DD_ARTIFACTS:-$DD_TREE/.artifacts}
changes=0

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

die() {
  printf '%s: error: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

changed() {
  changes=$((changes + 1))
  say "$*"
}

# The last line of every provisioner: what the tests of idempotence read.
done_with_changes() { say "done on $DD_NAME, $changes changes"; }

need() {
  local name
  for name in "$@"; do
    [[ -n ${!name:-} ]] || die "$name is not set: provisioners are started by the Vagrantfile (see the head of scripts/provision/lib.sh)"
  done
}

# put FILE MODE OWNER COMMAND...: makes FILE what COMMAND prints. (No pipe into put: its count would be lost in a subshell.)
put() {
  local file=$1 mode=$2 owner=$3 new
  shift 3
  new=$(mktemp)
  "$@" >"$new" || die "$file could not be written"
  if [[ -f $file ]] && cmp -s "$new" "$file" && [[ $(stat -c '%a %U:%G' "$file") == "$mode $owner" ]]; then
    rm -f "$new"
    return
  fi
  install -D -m "$mode" -o "${owner%:*}" -g "${owner#*:}" "$new" "$file"
  rm -f "$new"
  changed "wrote $file"
}

# folder PATH MODE OWNER
folder() {
  if [[ -d $1 && $(stat -c '%a %U:%G' "$1") == "$2 $3" ]]; then return; fi
  install -d -m "$2" -o "${3%:*}" -g "${3#*:}" "$1"
  changed "made $1"
}

# account NAME: a system user without a home to log in to.
account() {
  if id "$1" >/dev/null 2>&1; then return; fi
  useradd --system --user-group --home-dir "/var/lib/$1" --shell /usr/sbin/nologin "$1"
  changed "added the user $1"
}

secret() { tr -d '\n' <"$DD_SECRETS/$1"; }

# need_secrets NAME...: before anything is written; a `secret` that fails inside a text would leave a hole in it.
need_secrets() {
  local name
  for name in "$@"; do
    [[ -s $DD_SECRETS/$name ]] || die "the secret $name was not shipped to $DD_SECRETS: run scripts/make-secrets on the host, then vagrant provision"
  done
}

installed() { [[ $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) == "install ok installed" ]]; }

# packages NAME...: from apt, or offline from the shipped .deb files; no daemon is started before its configuration is written.
packages() {
  local name missing=()
  for name in "$@"; do installed "$name" || missing+=("$name"); done
  ((${#missing[@]})) || return 0
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  local apt=(apt-get -q -y -o DPkg::Lock::Timeout=180 -o APT::Install-Recommends=false)
  if [[ $DD_OFFLINE == 1 ]]; then
    [[ -s $artifacts/debs/Packages ]] || die "offline, and there is no $artifacts/debs/Packages: run scripts/release --offline on the host"
    local theirs ours
    theirs=$(cat "$artifacts/debs/codename" 2>/dev/null || true)
    ours=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    [[ -z $theirs || $theirs == "$ours" ]] ||
      die "the packages in $artifacts/debs are of Debian $theirs, and this machine is $ours: run scripts/release --offline with this machine's --python"
    mkdir -p /var/lib/dronedispatch-apt/lists/partial
    echo "deb [trusted=yes] file:$artifacts/debs ./" >/var/lib/dronedispatch-apt/sources.list
    apt+=(-o Dir::Etc::sourcelist=/var/lib/dronedispatch-apt/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=/var/lib/dronedispatch-apt/lists)
    apt+=(-o APT::Sandbox::User=root)
  fi
  timeout 300 "${apt[@]}" update >/dev/null || die "the package lists cannot be read: has the machine a network? (without one: DD_OFFLINE=1)"
  DEBIAN_FRONTEND=noninteractive timeout 900 "${apt[@]}" install "${missing[@]}" >/var/log/dronedispatch-apt.log 2>&1 ||
    { tail -n 5 /var/log/dronedispatch-apt.log >&2; die "apt-get could not install ${missing[*]} (above; all of it in /var/log/dronedispatch-apt.log)"; }
  rm -f /usr/sbin/policy-rc.d
  trap - EXIT
  changed "installed ${missing[*]}"
}

architecture() {
  case "$(uname -m)" in
    x86_64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) die "no Consul and no Nomad is released for $(uname -m)" ;;
  esac
}

# hashicorp PRODUCT VERSION: /usr/local/bin/PRODUCT is exactly that version; its archive's checksum is ours, not the server's.
hashicorp() {
  local product=$1 version=$2 archive known got dir
  if [[ $("/usr/local/bin/$product" version 2>/dev/null | sed -n '1s/^[A-Za-z]* v//p') == "$version"* ]]; then return; fi
  archive=${product}_${version}_linux_$(architecture).zip
  known=$(cat "$DD_TREE/scripts/provision/checksums" "$artifacts/checksums" 2>/dev/null | awk -v f="$archive" '$2 == f { print $1; exit }')
  if [[ -z $known && $DD_OFFLINE != 1 ]]; then # a version that is not pinned by ours: the maker's own list
    known=$(curl -fsS --retry 3 --connect-timeout 10 --max-time 60 "https://releases.hashicorp.com/$product/$version/${product}_${version}_SHA256SUMS" |
      awk -v f="$archive" '$2 == f { print $1; exit }') || true
  fi
  [[ -n $known ]] || die "no checksum is known for $archive: name the file itself in vagrant.yml (${product}_archive), or add it to scripts/provision/checksums"
  dir=$(mktemp -d)
  if [[ -f $artifacts/$archive ]]; then
    cp "$artifacts/$archive" "$dir/"
  elif [[ $DD_OFFLINE == 1 ]]; then
    die "offline, and $archive is not in $artifacts: put it there, or run scripts/release --offline"
  else
    say "downloading $archive"
    curl -fsS --retry 3 --connect-timeout 10 --max-time 600 -o "$dir/$archive" "https://releases.hashicorp.com/$product/$version/$archive" ||
      die "$archive could not be downloaded; without a network: DD_OFFLINE=1"
  fi
  got=$(sha256sum "$dir/$archive" | cut -d' ' -f1)
  [[ $got == "$known" ]] || die "the checksum of $archive is $got, not $known: nothing was installed"
  python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' "$dir/$archive" "$product" >"$dir/$product"
  install -m 755 "$dir/$product" "/usr/local/bin/$product"
  rm -rf "$dir"
  changed "installed $product $version"
}

# at_least VERSION WANTED
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | sed -n 1p) == "$2" ]]; }

systemd_runs() { [[ -d /run/systemd/system ]]; }

# unit NAME RESTART?: enabled, and running with the configuration of now. In a chroot nothing can run, and nothing is started.
unit() {
  local name=$1 before=$2
  if ! systemctl is-enabled --quiet "$name" 2>/dev/null; then
    systemctl enable --quiet "$name" 2>/dev/null || die "$name cannot be enabled: has this machine no systemd?"
    changed "enabled $name"
  fi
  systemd_runs || return 0
  if ((changes > before)); then
    systemctl daemon-reload
    systemctl restart "$name" || die "$name does not start: journalctl -u $name"
  elif ! systemctl is-active --quiet "$name"; then
    systemctl restart "$name" || die "$name does not start: journalctl -u $name"
    changed "started $name"
  fi
}

# wait_for SECONDS WHAT COMMAND...: once a second, for so long (times DD_PATIENCE) at most; the command's last words are in the error.
wait_for() {
  local deadline=$((SECONDS + $1 * DD_PATIENCE)) what=$2 last
  shift 2
  until last=$("$@" 2>&1); do
    ((SECONDS < deadline)) || die "$what: not within the time; the last answer was: ${last:-(none)}"
    sleep 1
  done
}

# answers URL: whatever its status. An agent is asked for itself: its servers, or most of them, may be provisioned later.
answers() { curl -sSk --max-time 5 -o /dev/null "$1"; }

server_addresses() { tr ' ' '\n' <<<"$DD_SERVERS" | cut -d= -f2; }

# quoted_servers PORT: every server's address as HCL; an empty PORT leaves it out.
quoted_servers() { server_addresses | sed "s/.*/\"&$1\"/" | paste -sd, | sed 's/,/, /g'; }

# certificates PRODUCT GROUP: this machine's certificate, key and the authority, readable for GROUP.
certificates() {
  local product=$1 group=$2 kind
  need_secrets tls/ca.pem "tls/$product-$DD_NAME.pem" "tls/$product-$DD_NAME.key"
  put "/etc/$product.d/tls/ca.pem" 640 "root:$group" cat "$DD_SECRETS/tls/ca.pem"
  for kind in pem key; do
    put "/etc/$product.d/tls/agent.$kind" 640 "root:$group" cat "$DD_SECRETS/tls/$product-$DD_NAME.$kind"
  done
}
