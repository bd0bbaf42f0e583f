"""The users of a broker and what each may do, as the definitions that RabbitMQ reads when it starts. Standard library only.

A user for each service, by the table of who publishes what (services/dronedispatch/fleet/traffic.py), and one for operators.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dronedispatch.fleet.traffic import TRAFFIC, permission

OPERATOR = "operator"
SERVICES = tuple(TRAFFIC)
# Since 4.0 a quorum queue drops a message that was taken and put back 20 times: a dead letter that somebody looks at in
# the user interface would be gone. A limit of the queue itself could not be given to one that is there already.
DEAD_LETTERS_STAY: Mapping[str, Any] = {
    "name": "dead-letters-stay",
    "pattern": "^dead_letters$",
    "apply-to": "queues",
    "definition": {"delivery-limit": 1_000_000_000},
}


def definitions(vhost: str, passwords: Mapping[str, str], *, operator: str = OPERATOR) -> dict[str, Any]:
    """`passwords`: of every service, and of `operator`, who may do everything. What is not named here stays as it is."""
    users = [_user(name, passwords[name], []) for name in SERVICES]
    permissions = [{"user": name, "vhost": vhost, **permission(name)._asdict()} for name in SERVICES]
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [*users, _user(operator, passwords[operator], ["administrator"])],
        "vhosts": [{"name": vhost}],
        "permissions": [*permissions, {"user": operator, "vhost": vhost, **everything}],
        "policies": [{"vhost": vhost, **DEAD_LETTERS_STAY}],
    }


def of_cluster(secrets: Path) -> dict[str, Any]:
    """From the passwords in `secrets`/amqp/<user>. Raises OSError."""
    passwords = {
        name: (secrets / "amqp" / name).read_text(encoding="ascii").strip() for name in (*SERVICES, OPERATOR)
    }
    return definitions("dronedispatch", passwords)


def _user(name: str, password: str, tags: list[str]) -> dict[str, Any]:
    # RabbitMQ's own form: salt + sha256(salt + password); the salt from the password, so that each start writes the same.
    salt = hashlib.sha256(b"salt" + password.encode()).digest()[:4]
    digest = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    return {
        "name": name,
        "password_hash": digest,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags,
    }


if __name__ == "__main__":
    print(json.dumps(of_cluster(Path(sys.argv[1])), indent=1))
