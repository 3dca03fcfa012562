"""docker-compose.yml as far as it can be judged without an engine: who runs as whom, what is open, and where the secrets are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from dags.stand_in import _type

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = ("airflow-init", "api-server", "scheduler", "dag-processor", "triggerer", "made-up-site", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


def test_every_secret_is_a_file_and_every_one_used_is_declared(compose: dict[str, Any]) -> None:
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    used = {secret for service in compose["services"].values() for secret in service.get("secrets", ())}
    assert used == set(compose["secrets"])
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|FERNET|CONN", name):
                assert "/run/secrets" in value or name == "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", name


def test_the_pipeline_runs_as_nobody_in_particular_on_a_file_system_it_cannot_change(compose: dict[str, Any]) -> None:
    for name in AIRFLOW:
        service = compose["services"][name]
        assert service["user"] == "${IPS_UID:-1000}"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    assert all(service["security_opt"] == ["no-new-privileges:true"] for service in compose["services"].values())
    code = [volume for name in AIRFLOW for volume in compose["services"][name].get("volumes", ()) if volume.startswith("./")]
    assert code
    assert all(volume.endswith(":ro") for volume in code)


def test_only_the_api_server_is_open_and_only_to_this_machine(compose: dict[str, Any]) -> None:
    assert {name for name, service in compose["services"].items() if "ports" in service} == {"api-server"}
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["api-server"]["ports"])


def test_patients_data_and_the_trusts_password_are_where_tasks_run_and_nowhere_else(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "data:/data" in service.get("volumes", ())] == [
        "scheduler",
        "worker",
    ]
    holders = {name for name, service in compose["services"].items() if "trust_password" in service.get("secrets", ())}
    assert holders == {"trust", "made-up-site", "scheduler", "worker"}


def test_celery_is_there_when_it_is_asked_for_and_the_other_services_do_without(compose: dict[str, Any]) -> None:
    """Who else runs as without a profile; what gives tasks out and what runs them read the same settings."""
    services = compose["services"]
    assert {name: service["profiles"] for name, service in services.items() if "profiles" in service} == {"redis": ["celery"], "worker": ["celery"]}
    assert services["scheduler"]["environment"]["AIRFLOW__CORE__EXECUTOR"] == "${IPS_EXECUTOR:-LocalExecutor}"
    assert services["worker"]["scale"] == "${IPS_WORKERS:-2}"
    assert services["scheduler"]["depends_on"]["redis"] == {"condition": "service_healthy", "required": False}
    given, run = (services[name]["environment"] for name in ("scheduler", "worker"))
    assert {name: value for name, value in given.items() if name != "AIRFLOW__API_AUTH__JWT_SECRET_CMD"} == run
    assert services["worker"]["volumes"] == services["scheduler"]["volumes"]
    assert {"AIRFLOW__CELERY__BROKER_URL_CMD", "AIRFLOW__CELERY__RESULT_BACKEND_CMD"} <= set(run)
    # The others never ask for them, and have no secret to answer with.
    assert not any("CELERY" in name for name in services["api-server"]["environment"])
    assert services["worker"]["command"] == ["airflow", "celery", "worker", "--skip-serve-logs"]


def test_what_gives_tasks_out_is_reached_by_them_alone_and_with_a_password(compose: dict[str, Any]) -> None:
    services, redis = compose["services"], compose["services"]["redis"]
    assert compose["networks"]["broker"] == {"internal": True}
    assert {name for name, service in services.items() if "broker" in service["networks"]} == {"redis", "scheduler", "worker"}
    assert {name for name, service in services.items() if "broker_password" in service.get("secrets", ())} == {"redis", "scheduler", "worker"}
    shell, option, script = redis["command"]
    assert (shell, option) == ("sh", "-c")
    # The password is in a file of the container's memory and on no command line.
    assert "umask 077" in script and "/run/secrets/broker_password" not in script.split("exec redis-server")[1]
    assert redis["user"] == "${IPS_UID:-1000}" and redis["read_only"] is True and redis["cap_drop"] == ["ALL"]


def test_who_signs_the_tokens_of_tasks_gives_them_out_and_takes_them(compose: dict[str, Any]) -> None:
    holders = {name for name, service in compose["services"].items() if "airflow_jwt_secret" in service.get("secrets", ())}
    assert holders == {"api-server", "scheduler"}


def test_what_a_service_reads_of_its_secrets_it_is_given(compose: dict[str, Any]) -> None:
    """A command or a setting that names the file of a secret would fail without it."""
    for name, service in compose["services"].items():
        text = yaml.safe_dump([service.get("command", ""), service.get("environment", {}), service.get("healthcheck", {})])
        assert set(re.findall(r"/run/secrets/(\w+)", text)) <= set(service.get("secrets", ())), name


def test_pools_are_made_where_the_site_is_seen_and_before_anything_is_scheduled(compose: dict[str, Any]) -> None:
    """What prepares the metadata sees neither the site nor its secrets."""
    shell, option, command = compose["services"]["scheduler"]["command"]
    assert (shell, option) == ("sh", "-c")
    assert command == "python -m dags.pools --site /opt/site/SITE.toml && exec airflow scheduler --skip-serve-logs"
    assert [name for name in AIRFLOW if any("/opt/site" in volume for volume in compose["services"][name].get("volumes", ()))] == [
        "scheduler",
        "made-up-site",
        "worker",
    ]


def test_every_component_has_the_plugins_and_no_secret_has_a_default(compose: dict[str, Any]) -> None:
    for name in set(AIRFLOW) - {"made-up-site"}:
        assert compose["services"][name]["environment"]["AIRFLOW__CORE__PLUGINS_FOLDER"] == "/opt/ips/dags/plugins"
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    defaults = dict(re.findall(r"\$\{(\w+):?-([^}]*)\}", text))
    assert set(defaults) == {"IPS_UID", "IPS_EXECUTOR", "IPS_WORKERS", "IPS_USERS", "IPS_SCHEDULE", "IPS_NOTIFY_TO", "IPS_PORT", "IPS_SITE_FOLDER"}


def test_the_image_is_built_from_what_is_sent_to_its_build_and_holds_no_tools_of_the_tests() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    copied = {name.removeprefix("./") for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE) for name in line.split()}
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
    assert "requirements-production.lock" in copied and "requirements.lock" not in copied
    assert re.search(r"--require-hashes .*requirements-production\.lock", dockerfile)
    assert dockerfile.rindex("\nUSER ips\n") > dockerfile.rindex("\nRUN ")


def test_whatever_stays_up_is_watched_and_started_again(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        once = service["restart"] == "no"
        assert once == (name in {"airflow-init", "made-up-site"})
        assert once != ("healthcheck" in service)
    assert compose["services"]["scheduler"]["depends_on"]["api-server"] == {"condition": "service_healthy"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2026-08-01", None], sa.Date),
        (["10:15:00"], sa.Time),
        (["2026-08-01", "2026-02-30"], sa.Text),
        (["R1"], sa.Text),
        ([None], sa.Text),
    ],
)
def test_a_column_moves_with_the_type_that_all_its_values_have(values: list[str | None], kind: type) -> None:
    assert isinstance(_type(values), kind)
