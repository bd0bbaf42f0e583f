# shellcheck shell=bash
# The text of a broker's configuration. Sourced by the provisioner, and by the test that runs three real brokers with it.
# Wants what lib.sh describes; BROKER_ETC says where its files are.

BROKER_ETC=${BROKER_ETC:-/etc/rabbitmq}

# One cluster of the servers' brokers, on the private address only.
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
cluster_partition_handling = pause_minority
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

# Two users and no guest: a broker that starts with definitions makes none of its own.
broker_definitions() {
  python3 - "$DD_SECRETS" <<'PYTHON'
import base64, hashlib, json, pathlib, sys

secrets = pathlib.Path(sys.argv[1])

def user(name: str, tags: list[str]) -> dict[str, object]:
    password = (secrets / "amqp" / name).read_text().strip()
    # RabbitMQ's own form: salt + sha256(salt + password); the salt from the password, so that a second run writes the same.
    salt = hashlib.sha256(b"salt" + password.encode()).digest()[:4]
    digest = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    return {"name": name, "password_hash": digest, "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": tags}

OURS = "^(delivery_[a-z]+|drone_[a-z]+|dead_letters)(\\..*)?$"
print(json.dumps({
    "users": [user("dronedispatch", []), user("operator", ["administrator"])],
    "vhosts": [{"name": "dronedispatch"}],
    "permissions": [
        {"user": "dronedispatch", "vhost": "dronedispatch", "configure": OURS, "write": "^amq\\.default$|" + OURS, "read": OURS},
        {"user": "operator", "vhost": "dronedispatch", "configure": ".*", "write": ".*", "read": ".*"},
    ],
    # Since 4.0 a dead letter that was looked at 20 times would be dropped.
    "policies": [{
        "vhost": "dronedispatch", "name": "dead-letters-stay", "pattern": "^dead_letters$", "apply-to": "queues",
        "definition": {"delivery-limit": 1000000000},
    }],
}, indent=1))
PYTHON
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
