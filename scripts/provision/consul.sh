# shellcheck shell=bash
# The text of a Consul agent's configuration. Sourced by the provisioner, and by the test that runs three real servers with it.
# Wants what lib.sh describes; CONSUL_ETC and CONSUL_DATA say where its files are.

CONSUL_ETC=${CONSUL_ETC:-/etc/consul.d}
CONSUL_DATA=${CONSUL_DATA:-/var/lib/consul}

# How an agent is: its network, its role, who may see it.
consul_configuration() {
  local client_http='127.0.0.1' servers
  servers=$(quoted_servers "")
  # The UI is for the host's browser: on the servers' private address; plain only in the laboratory.
  [[ $DD_ROLE == server && $DD_SECURE != 1 ]] && client_http="127.0.0.1 $DD_ADDRESS"
  cat <<TEXT
datacenter     = "dc1"
node_name      = "$DD_NAME"
data_dir       = "$CONSUL_DATA"
bind_addr      = "$DD_ADDRESS"
retry_join     = [$servers]
retry_interval = "2s"
disable_update_check   = true
disable_remote_exec    = true
enable_syslog          = false
leave_on_terminate     = false # a machine that restarts is the same machine
reconnect_timeout      = "8h"

addresses {
  http = "$client_http"
TEXT
  if [[ $DD_ROLE == server && $DD_SECURE == 1 ]]; then
    printf '  https = "%s"\n' "$DD_ADDRESS"
  fi
  cat <<TEXT
}

# Deregistering a dead replica within seconds rests on quick raft and gossip.
performance { raft_multiplier = 1 }

# Every process of this machine asks from the loopback address: for Consul they are one client.
limits { http_max_conns_per_client = 1000 }

telemetry { prometheus_retention_time = "60s" }
TEXT
  if [[ $DD_ROLE == server ]]; then
    printf '\nserver           = true\nbootstrap_expect = %s\n' "$(server_addresses | wc -l)"
    # A server that was cut off is the same server when it is back. Thrown out of raft meanwhile, it would campaign against
    # the others until gossip and reconciliation let it in again: 20 s more without Consul on its machine, measured.
    echo 'autopilot { cleanup_dead_servers = false }'
    if at_least "$DD_CONSUL_VERSION" 1.9.0; then echo 'ui_config { enabled = true }'; else echo 'ui = true'; fi
  fi
}

# ACLs are always on. Without DD_SECURE they allow everything but reading the secrets.
consul_acls() {
  local management=initial_management policy=allow
  at_least "$DD_CONSUL_VERSION" 1.11.0 || management=master
  [[ $DD_SECURE == 1 ]] && policy=deny
  cat <<TEXT
acl {
  enabled                  = true
  default_policy           = "$policy"
  down_policy              = "extend-cache"
  enable_token_persistence = true

  tokens {
    agent = "$(secret consul/agent)"
TEXT
  [[ $DD_ROLE == server ]] && printf '    %s = "%s"\n' "$management" "$(secret consul/management)"
  printf '  }\n}\n'
}

# TLS between the agents, and for people's browsers.
consul_tls() {
  if at_least "$DD_CONSUL_VERSION" 1.12.0; then
    cat <<TEXT
tls {
  defaults {
    ca_file         = "$CONSUL_ETC/tls/ca.pem"
    cert_file       = "$CONSUL_ETC/tls/agent.pem"
    key_file        = "$CONSUL_ETC/tls/agent.key"
    verify_incoming = true
    verify_outgoing = true
  }
  https        { verify_incoming = false } # a browser has no certificate; it has a token
  internal_rpc { verify_server_hostname = true }
}
TEXT
  else
    cat <<TEXT
ca_file                = "$CONSUL_ETC/tls/ca.pem"
cert_file              = "$CONSUL_ETC/tls/agent.pem"
key_file               = "$CONSUL_ETC/tls/agent.key"
verify_incoming_rpc    = true
verify_outgoing        = true
verify_server_hostname = true
TEXT
  fi
  [[ $DD_ROLE != server ]] || echo 'ports { https = 8501 }'
}

consul_gossip() { printf 'encrypt = "%s"\n' "$(secret gossip_key)"; }
