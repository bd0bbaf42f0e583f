# shellcheck shell=bash
# The text of a broker's configuration. Sourced by the provisioner, and by the test that runs three real brokers with it.
# Wants what lib.sh describes; BROKER_ETC says where its files are.

BROKER_ETC=${BROKER_ETC:-/etc/rabbitmq}

# One cluster of the servers' brokers, on the private address only. `autoheal`: whoever lost sight of the others is made one
# with them again. `pause_minority` leaves two sides for ever where they see each other again before either has paused; and
# no side needs to pause, since a quorum queue confirms nothing without most of its members.
broker_configuration() {
  cat <<TEXT
listeners.tcp.1         = $DD_ADDRESS:5672
management.tcp.ip       = $DD_ADDRESS
management.tcp.port     = 15672
prometheus.tcp.ip       = $DD_ADDRESS
prometheus.tcp.port     = 15692
load_definitions        = $BROKER_ETC/definitions.json
default_vhost           = dronedispatch
cluster_name            = dronedispatch
queue_leader_locator    = balanced
cluster_partition_handling = autoheal
vm_memory_high_watermark.relative = 0.5
disk_free_limit.absolute = 200MB

cluster_formation.peer_discovery_backend = classic_config
TEXT
  local number=0 pair
  for pair in $DD_SERVERS; do
    number=$((number + 1))
    printf 'cluster_formation.classic_config.nodes.%d = rabbit@%s\n' "$number" "${pair%%=*}"
  done
}

# A user for each service, one for operators, and no guest: a broker that starts with definitions makes none of its own.
broker_definitions() {
  local tree
  tree=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
  PYTHONPATH="$tree:$tree/services" PYTHONDONTWRITEBYTECODE=1 python3 -m scripts.cluster.broker_users "$DD_SECRETS"
}

# The addresses that broker-watch is given: this machine's, then the other servers'.
broker_watch_addresses() {
  local pair
  printf '%s' "$DD_ADDRESS"
  for pair in $DD_SERVERS; do
    if [[ ${pair#*=} != "$DD_ADDRESS" ]]; then printf ' %s' "${pair#*=}"; fi
  done
}

broker_watch_unit() {
  cat <<TEXT
[Unit]
Description=Starts RabbitMQ again where it does not come back by itself
After=rabbitmq-server.service

[Service]
ExecStart=/usr/local/sbin/dronedispatch-broker-watch $(broker_watch_addresses)
Restart=always
RestartSec=5s
NoNewPrivileges=yes
ProtectSystem=full
ProtectHome=yes

[Install]
WantedBy=multi-user.target
TEXT
}

# The broker's entry in the catalogue of its machine's agent.
broker_service() {
  cat <<TEXT
service {
  name    = "rabbitmq"
  id      = "rabbitmq-$DD_NAME"
  address = "$DD_ADDRESS"
  port    = 5672
  token   = "$(secret consul/rabbitmq)"

  check {
    name     = "amqp"
    tcp      = "$DD_ADDRESS:5672"
    interval = "2s"
    timeout  = "2s"
  }
}
TEXT
}
