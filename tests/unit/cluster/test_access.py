"""Who is given what: jobs their secrets, deployers a token that deploys and no more, workloads the policy of their job."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scripts.cluster import access, rotate
from scripts.cluster.deploy import OPTIONAL, ORDER
from scripts.cluster.secrets import BEARER, GIVEN, PASSWORDS


class Variables:
    """Nomad's variables, by path."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}
        self.written = 0

    def __call__(self, *words: str, given: str | None = None, fine: Sequence[int] = (0,)) -> tuple[int, str]:
        if words[:2] == ("var", "get"):
            items = self.kept.get(words[-1])
            return (1, "") if items is None else (0, json.dumps({"Items": items}))
        assert words[:2] == ("var", "put")
        assert not any(len(word) > 30 for word in words)  # no secret stands on a command line
        told = json.loads(given or "")
        self.kept[told["Path"]] = told["Items"]
        self.written += 1
        return 0, ""


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    made = Variables()
    monkeypatch.setattr(access, "nomad", made)
    monkeypatch.setattr(rotate, "nomad", made)
    return made


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "amqp").mkdir()
    for name in (*BEARER, *PASSWORDS):
        (tmp_path / name).write_text(f"{name}-of-the-host\n", encoding="ascii")
    return tmp_path


def test_each_job_gets_a_variable_of_its_own_with_what_it_reads(variables: Variables, keys: Path) -> None:
    assert access.give_secrets(keys) == len(GIVEN)
    assert set(variables.kept) == {f"nomad/jobs/{job}" for job in GIVEN}
    for job, names in GIVEN.items():
        assert set(variables.kept[f"nomad/jobs/{job}"]) == set(names)


def test_a_second_time_nothing_is_written(variables: Variables, keys: Path) -> None:
    access.give_secrets(keys)
    assert access.give_secrets(keys) == 0
    assert variables.written == len(GIVEN)


def test_a_token_that_was_rotated_stays_and_a_password_follows_the_host(
    variables: Variables, keys: Path
) -> None:
    access.give_secrets(keys)
    variables.kept["nomad/jobs/gateway"] |= {"store_token": "rotated", "broker_password": "old"}
    assert access.give_secrets(keys) == 1
    kept = variables.kept["nomad/jobs/gateway"]
    assert (kept["store_token"], kept["broker_password"]) == ("rotated", "amqp/gateway-of-the-host")


def test_the_password_of_the_release_before_stays_while_its_jobs_run(
    variables: Variables, keys: Path
) -> None:
    access.give_secrets(keys)
    variables.kept["nomad/jobs/gateway"] |= {"amqp_password": "of-them-all"}
    assert access.give_secrets(keys) == 0
    assert variables.kept["nomad/jobs/gateway"]["amqp_password"] == "of-them-all"


class Acls:
    """Consul's ACLs, as far as workloads need them."""

    def __init__(self) -> None:
        self.there: dict[str, Any] = {}
        self.rules: list[dict[str, str]] = []

    def call(self, method: str, path: str, body: Any = None) -> Any:
        if path.startswith("/v1/acl/binding-rules"):
            return self.rules
        if method == "GET":
            return self.there.get(path)
        if path == "/v1/acl/binding-rule":
            self.rules.append(body)
        elif path == "/v1/acl/role":
            self.there[f"/v1/acl/role/name/{body['Name']}"] = body
        else:
            self.there[f"/v1/acl/auth-method/{body['Name']}"] = body
        return body


def test_a_workload_gets_the_policy_of_its_job_and_a_second_time_nothing_is_written() -> None:
    acls: Any = Acls()
    assert access.give_workloads(acls, "https://n/.well-known/jwks.json", "ca") > 0
    for job in (*ORDER, *OPTIONAL):
        (policy,) = acls.there[f"/v1/acl/role/name/dd-{job}"]["Policies"]
        assert (access.POLICIES / f"{policy['Name'].removeprefix('dd-')}.hcl").is_file()
    assert {rule["BindName"] for rule in acls.rules} == {"${value.nomad_service}", "dd-${value.nomad_job_id}"}
    assert access.give_workloads(acls, "https://n/.well-known/jwks.json", "ca") == 0


def test_whoever_deploys_may_deploy_and_list_the_names_of_variables_and_neither_rule_nor_read_them() -> None:
    text = (access.NOMAD_POLICIES / "deploy.hcl").read_text(encoding="utf-8")
    capabilities = set(re.findall(r'"([a-z-]+)"', text.partition("capabilities")[2].partition("]")[0]))
    assert capabilities == {"list-jobs", "read-job", "submit-job", "scale-job", "read-logs"}
    (variables,) = re.findall(r"variables \{(.*?)\n  \}", text, re.DOTALL)
    assert set(re.findall(r'"([^"]+)"', variables)) == {"nomad/jobs/*", "list"}
    assert not re.search(r"\b(agent|operator|acl|quota)\b\s*\{", text)
