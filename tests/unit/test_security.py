"""What ``make check`` does about secrets, vulnerabilities and what is installed: planted ones are found, and the locks say what they should."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DAY = date(2026, 9, 10)
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .+?)? \\$", re.MULTILINE)


@pytest.fixture(scope="module")
def security() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_security", ROOT / ".ci" / "security.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# In pieces, so that this file holds none of them.
PLANTED = {
    "a key of a cloud": ("settings.toml", "key = " + '"AKIA' + 'Q3EGRWQ7RT5XLZ2B"'),
    "a private key": ("id.txt", "-----BEGIN " + "OPENSSH PRIVATE KEY-----"),
    "a password in a URL": ("SITE.toml", 'url = "postgresql://reader:' + 'Tr0ub4dor@db/epr"'),
    "a password in Python": ("load.py", "password = " + '"Tr0ub4dor&3"'),
    "a password in YAML": ("values.yaml", "password: " + "Tr0ub4dor33"),
    "a token": ("run.sh", "TOKEN=ghp" + "_" + "0123456789" + "abcdefghij" + "ABCDEFGHIJ" + "012345"),
    "a random string": ("code.py", "salt = " + '"q83vEjRWeJCr' + "ze8SNFZ4kKvN" + '7xI0VniQq83vEjRWeJA"'),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_and_not_repeated(security: ModuleType, tmp_path: Path, kind: str) -> None:
    name, line = PLANTED[kind]
    (tmp_path / name).write_text(f"first\n{line}\n", encoding="utf-8")
    places = security.secrets([tmp_path / name], ["hunter2"])
    assert places
    assert all(place.startswith(f"{tmp_path / name}:2 ") for place in places)
    assert not any(part in place for place in places for part in ("Tr0ub4dor", "Q3EGRWQ7", "0123456789", "q83v"))


def test_what_is_made_up_passes_and_only_that(security: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "SITE.toml"
    file.write_text('url = "postgresql://reader:hunter2@db/epr"\n', encoding="utf-8")
    assert security.secrets([file], ["hunter2"]) == []
    assert security.secrets([file], ["hunter"]) != []
    assert all(item["reason"] for item in _allowed()["made_up"])


def test_every_text_of_the_tree_is_read_but_locks_and_tables(security: ModuleType) -> None:
    read = {path.relative_to(ROOT).as_posix() for path in security.texts(ROOT)}
    assert {"docker-compose.yml", "Makefile", "README.md", "ips_pipeline/settings.py", ".ci/security.py", "tests/conftest.py"} <= read
    assert not {name for name in read if name.endswith((".lock", ".csv"))}


def _allowed() -> dict[str, Any]:
    import tomllib

    return tomllib.loads((ROOT / ".ci" / "security.toml").read_text(encoding="utf-8"))


def printed(**more: Any) -> str:
    known = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": ["CVE-2026-0001"], "description": ""}
    packages = [{"name": "good", "version": "2.0", "vulns": []}, {"name": "bad", "version": "1.0", "vulns": [known]} | more]
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_known_vulnerability_fails_until_it_is_ignored_with_a_reason_and_only_until_its_day(security: ModuleType) -> None:
    assert security.verdict(printed(), (), DAY).vulnerable == ("bad 1.0: PYSEC-2026-1, mended in 1.1",)
    for name in ("PYSEC-2026-1", "CVE-2026-0001"):
        ignored = security.Ignored(id=name, package="bad", reason="not reached", until=DAY)
        assert security.verdict(printed(), [ignored], DAY).vulnerable == ()
        assert security.verdict(printed(), [ignored], date(2026, 9, 11)).vulnerable != ()
    other = security.Ignored(id="PYSEC-2026-1", package="good", reason="not reached", until=DAY)
    assert security.verdict(printed(), [other], DAY).vulnerable != ()


LOCK = "bad==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\ngood==2.0 ; sys_platform != 'win32' \\\n    --hash=sha256:02\n"
SILENT = subprocess.CompletedProcess([], 1, "", "requests.exceptions.ConnectionError: Failed to resolve\n")
UNKNOWN = subprocess.CompletedProcess([], 0, json.dumps({"dependencies": [{"name": "bad", "skip_reason": "not found"}]}), "")


@pytest.mark.parametrize(
    ("answers", "code", "asked", "said"),
    [
        ([SILENT, SILENT], 0, ["osv", "pypi"], "not looked over for known vulnerabilities, since none of osv, pypi answers here"),
        ([SILENT, UNKNOWN], 0, ["osv", "pypi"], "not looked over"),
        ([subprocess.CompletedProcess([], 1, printed(), "")] * 2, 1, ["osv", "osv"], "1 known vulnerabilities in 2 packages, says osv"),
        ([UNKNOWN, *[subprocess.CompletedProcess([], 0, printed(vulns=[]), "")] * 2], 0, ["osv", "pypi", "pypi"], "0 known vulnerabilities"),
    ],
    ids=["nobody answers", "a mirror without them", "a known one", "the second service"],
)
def test_an_audit_asks_for_one_package_before_all_and_says_what_it_could_not_learn(
    security: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: list[subprocess.CompletedProcess[str]],
    code: int,
    asked: list[str],
    said: str,
) -> None:
    (tmp_path / "some.lock").write_text(LOCK, encoding="utf-8")
    calls: list[tuple[str, str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        given = dict(pairwise(command))
        calls.append((given["--vulnerability-service"], Path(given["--requirement"]).read_text(encoding="utf-8")))
        return answers[len(calls) - 1]

    monkeypatch.setattr(subprocess, "run", run)
    assert security.audit(tmp_path / "some.lock", (), DAY) == code
    assert [service for service, _ in calls] == asked
    assert calls[0][1] == "bad==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
    assert said in capsys.readouterr().out


def test_an_audit_that_breaks_is_no_pass(security: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.lock").write_text(LOCK, encoding="utf-8")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "ERROR: invalid requirement\n"))
    with pytest.raises(SystemExit, match="invalid requirement"):
        security.audit(tmp_path / "some.lock", (), DAY)


def pins(name: str) -> set[tuple[str, str]]:
    """Package and version of every line of a lock; a package has two where two versions of Python need them."""
    found = set(PIN.findall((ROOT / name).read_text(encoding="utf-8")))
    assert len(found) > 100
    return found


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-production.lock"])
def test_a_lock_has_a_hash_for_each_package_and_names_no_host_and_no_pip(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert all(lines[number].endswith(" \\") and lines[number + 1].startswith("    --hash=sha256:") for number in heads)
    assert len(heads) == len(re.findall(r"^\S+==", text, re.MULTILINE))
    assert "://" not in text and "--index" not in text
    assert not {"pip", "setuptools"} & {package for package, _ in pins(name)}, "installing would replace what installs"


def test_production_has_the_versions_that_are_tested_and_none_of_what_only_tests_need() -> None:
    tested, production = pins("requirements.lock"), pins("requirements-production.lock")
    assert production < tested
    names = {package for package, _ in production}
    only_tests = {"pytest", "mypy", "ruff", "bandit", "detect-secrets", "pip-audit", "hypothesis", "access-parser", "cyclonedx-bom"}
    assert only_tests <= {package for package, _ in tested}
    assert not only_tests & names
    assert {"apache-airflow", "duckdb", "psycopg", "pymysql", "mssql-python", "oracledb", "celery", "mpxj", "hatchling"} <= names


def test_the_bill_of_materials_lists_each_package_of_production_and_no_time(tmp_path: Path) -> None:
    made = tmp_path / "sbom.json"
    # The recipe of make sbom but for its checking against the schema, which takes seconds.
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "--pyproject", "pyproject.toml", "--output-reproducible"]
    subprocess.run([*command, "--no-validate", "--output-file", made, "requirements-production.lock"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads(made.read_text(encoding="utf-8"))
    assert {(item["name"], item["version"]) for item in bill["components"]} == pins("requirements-production.lock")
    assert all(item["purl"].startswith("pkg:pypi/") and item["externalReferences"][0]["hashes"] for item in bill["components"])
    assert "serialNumber" not in bill and "timestamp" not in bill["metadata"]
    assert bill["metadata"]["component"]["name"] == "ips-pipeline"
    assert " ".join(command[3:6]) in (ROOT / "Makefile").read_text(encoding="utf-8")
