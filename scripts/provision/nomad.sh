# shellcheck shell=bash
# The text of a Nomad agent's configuration. Sourced by the provisioner, and by the test that runs three real servers with it.
# Wants what lib.sh describes; NOMAD_ETC, NOMAD_DATA and NOMAD_VOLUMES say where its files are.

NOMAD_ETC=${NOMAD_ETC:-/etc/nomad.d}
NOMAD_DATA=${NOMAD_DATA:-/var/lib/nomad}
NOMAD_VOLUMES=${NOMAD_VOLUMES:-/var/lib/dronedispatch}

nomad_configuration() {
  cat <<TEXT
datacenter = "dc1"
name       = "$DD_NAME"
data_dir   = "$NOMAD_DATA"
bind_addr  = "$DD_ADDRESS" # never the address that VirtualBox gives to every machine alike
disable_update_check = true

# A service, and a task with a consul block, is given a Consul token of its own for its identity (scripts/provision/access).
consul {
  address = "127.0.0.1:8500"

  service_identity {
    aud = ["consul.io"]
    ttl = "1h"
  }

  task_identity {
    aud = ["consul.io"]
    ttl = "1h"
  }
}

telemetry {
  prometheus_metrics         = true
  publish_allocation_metrics = true
}

acl {
  enabled = $([[ $DD_SECURE == 1 ]] && echo true || echo false)
}
TEXT
}

nomad_server() {
  cat <<TEXT
server {
  enabled          = true
  bootstrap_expect = $(server_addresses | wc -l)

  server_join {
    retry_join     = [$(quoted_servers "")]
    retry_interval = "2s"
  }
}
TEXT
}

# The interface that has our address: VirtualBox's first one has the same address on every machine.
nomad_interface() { ip -o -4 address show | awk -v address="$DD_ADDRESS" '{ split($4, own, "/") } own[1] == address { print $2; exit }'; }

# exec's chroot holds the system's programs, and of ours the releases, by hard link.
nomad_client() {
  cat <<TEXT
client {
  enabled           = true
  network_interface = "${DD_INTERFACE:-$(nomad_interface)}"
  servers           = [$(quoted_servers :4647)]
  max_kill_timeout  = "30s"

  meta {
    python = "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')" # scripts/deploy compares it with a release
  }

  host_volume "kvstore" {
    path      = "$NOMAD_VOLUMES/kvstore"
    read_only = false
  }

$(sed -n '/^  chroot_env/,$p' "$(dirname "${BASH_SOURCE[0]}")/dev-exec.hcl")

# Isolation is the point: processes run as dronedispatch inside exec.
plugin "raw_exec" {
  config { enabled = false }
}
TEXT
}

nomad_secrets() {
  printf 'consul {\n  token = "%s"\n}\n' "$(secret consul/nomad)"
  if [[ $DD_ROLE == server ]]; then printf 'server {\n  encrypt = "%s"\n}\n' "$(secret nomad_gossip_key)"; fi
}

nomad_tls() {
  cat <<TEXT
tls {
  http                   = true
  rpc                    = true
  ca_file                = "$NOMAD_ETC/tls/ca.pem"
  cert_file              = "$NOMAD_ETC/tls/agent.pem"
  key_file               = "$NOMAD_ETC/tls/agent.key"
  verify_server_hostname = true
  verify_https_client    = false # people and scripts/deploy show a token, not a certificate
}
TEXT
}
