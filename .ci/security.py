"""Two of the checks of ``make check``: secrets in the tree, and known vulnerabilities in what is installed.

    python .ci/security.py secrets
    python .ci/security.py audit requirements.lock

What they let pass is in security.toml beside this file, each with its reason.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector
from detect_secrets.plugins.keyword import DENYLIST, KeywordDetector
from detect_secrets.settings import transient_settings

HERE = Path(__file__).resolve().parent
#: Hashes of packages and data tables of the standard look like keys and are none.
NOT_READ = re.compile(r"requirements.*\.lock|tests/conformance/.*|.*\.csv")
#: The services that know of vulnerabilities, in the order in which they are asked; the second one is the package registry itself.
SERVICES = ("osv", "pypi")
#: What pip-audit says of a lock that it cannot read.
BROKEN_LOCK = re.compile(r"invalid requirement|unhashed|hash", re.IGNORECASE)
#: Signs in what it prints that a service did not answer, or answered that it has nothing to say.
NO_ANSWER = re.compile(r"ConnectionError|ConnectTimeout|ReadTimeout|Timeout|ProxyError|SSLError|ServiceError|HTTPError|Could not connect")
_KEYWORD = re.compile("|".join(DENYLIST), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A vulnerability that is let pass until a day, and why."""

    id: str
    package: str
    reason: str
    until: date


@dataclass(frozen=True, slots=True)
class Allowed:
    """What security.toml lets pass: made-up secrets of the tests, and vulnerabilities."""

    made_up: tuple[str, ...]
    vulnerabilities: tuple[Ignored, ...]


def allowed(file: Path = HERE / "security.toml") -> Allowed:
    """Read security.toml. Raises TypeError when an entry lacks its reason or its day."""
    held = tomllib.loads(file.read_text(encoding="utf-8"))
    return Allowed(tuple(item["value"] for item in held["made_up"]), tuple(Ignored(**item) for item in held.get("vulnerabilities", ())))


def secrets(files: Iterable[Path], made_up: Sequence[str]) -> list[str]:
    """The places, ``file:line kind``, at which detect-secrets sees a secret; never the secret itself. Nothing is sent anywhere."""
    known: Mapping[str, type[BasePlugin]] = get_mapping_from_secret_type_to_class()
    plugins = {plugin.__name__: plugin for plugin in known.values()}
    # An address is no secret.
    del plugins["IPPublicDetector"]
    settings = {
        "plugins_used": [{"name": name} for name in plugins],
        "filters_used": [
            {"path": "detect_secrets.filters.allowlist.is_line_allowlisted"},
            {"path": "detect_secrets.filters.regex.should_exclude_secret", "pattern": [f"^{re.escape(value)}$" for value in made_up]},
            *(
                {"path": f"detect_secrets.filters.heuristic.{name}"}
                for name in (
                    "is_indirect_reference",
                    "is_likely_id_string",
                    "is_not_alphanumeric_string",
                    "is_potential_uuid",
                    "is_prefixed_with_dollar_sign",
                    "is_sequential_string",
                    "is_templated_secret",
                )
            ),
        ],
    }
    with transient_settings(settings):
        looking = [kind() for kind in plugins.values()]
        found = SecretsCollection()
        for file in files:
            # The scan proper takes 0.1 s a file, so it reads only those in which something looks like a secret at first sight.
            if _suspect(file, looking):
                found.scan_file(str(file))
    return sorted(f"{name}:{secret.line_number} {secret.type}" for name, secret in found)


def _suspect(file: Path, plugins: Sequence[BasePlugin]) -> bool:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    lines = text.splitlines()
    worded = [line for line in lines if _KEYWORD.search(line)]
    for plugin in plugins:
        if isinstance(plugin, RegexBasedDetector):
            if any(pattern.search(text) for pattern in plugin.denylist):
                return True
        elif any(plugin.analyze_line(str(file), line, 0) for line in (worded if isinstance(plugin, KeywordDetector) else lines)):
            return True
    return False


def texts(root: Path) -> Iterator[Path]:
    """The files that are under version control or would be added to it, but for those that are no text of ours."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"], check=True, capture_output=True, text=True
    ).stdout
    return (root / name for name in listed.split("\0") if name and not NOT_READ.fullmatch(name) and (root / name).is_file())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a service says of a lock: known vulnerabilities, ``package version: id``, and how many packages it knows nothing of."""

    vulnerable: tuple[str, ...]
    packages: int
    skipped: int


def verdict(printed: str, ignored: Sequence[Ignored], today: date) -> Verdict:
    """Read the JSON of pip-audit. What is ignored counts again after its day."""
    passing = {(item.package, item.id) for item in ignored if today <= item.until}
    packages = json.loads(printed)["dependencies"]
    vulnerable = [
        f"{package['name']} {package['version']}: {entry['id']}"
        + (f", mended in {', '.join(entry['fix_versions'])}" if entry["fix_versions"] else ", not mended yet")
        for package in packages
        for entry in package.get("vulns", ())
        if not any((package["name"], name) in passing for name in (entry["id"], *entry["aliases"]))
    ]
    return Verdict(tuple(vulnerable), len(packages), sum("skip_reason" in package for package in packages))


def audit(lock: Path, ignored: Sequence[Ignored], today: date, services: Sequence[str] = SERVICES) -> int:
    """Say what is known of a lock: 1 when a version in it has a known vulnerability, 0 when none has or nobody can be asked."""
    text = lock.read_text(encoding="utf-8")
    for service in services:
        # One package first: a registry's mirror mostly lacks the vulnerabilities, and need not be asked for every package to tell.
        if _asked(service, _first(text), ignored, today) is None:
            continue
        said = _asked(service, text, ignored, today)
        if said is None or said.skipped == said.packages:
            continue
        for line in said.vulnerable:
            print(line)
        unknown = f"; {said.skipped} are unknown to it" if said.skipped else ""
        print(f"{lock.name}: {len(said.vulnerable)} known vulnerabilities in {said.packages} packages, says {service}{unknown}")
        return 1 if said.vulnerable else 0
    print(f"{lock.name}: not looked over for known vulnerabilities, since none of {', '.join(services)} answers here")
    return 0


def _first(lock: str) -> str:
    """The first package of a lock with its hashes."""
    head, *more = lock.splitlines()
    return "\n".join([head, *(more[: next((at for at, line in enumerate(more) if not line.startswith(" ")), len(more))])]) + "\n"


def _asked(service: str, lock: str, ignored: Sequence[Ignored], today: date) -> Verdict | None:
    """What a service says; None when it does not answer or knows none of the packages, or the service fails.

    Raises SystemExit when the lock cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lock.txt"
        file.write_text(lock, encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--requirement", str(file), "--disable-pip"]
        ran = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off", "--timeout", "10"], capture_output=True, text=True, check=False
        )
    if ran.stdout.startswith("{"):
        said = verdict(ran.stdout, ignored, today)
        return said if said.skipped < said.packages else None
    last = (ran.stderr.strip().splitlines() or ["it says nothing"])[-1]
    if BROKEN_LOCK.search(ran.stderr):
        raise SystemExit(f"pip-audit failed: {last}")
    if not NO_ANSWER.search(ran.stderr):
        # What a registry's mirror answers instead of vulnerabilities may be anything; it is told and stops nobody's work.
        print(f"pip-audit by {service}: {last}")
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the checks; 1 when it finds something."""
    parser = argparse.ArgumentParser(prog="security.py", description="Secrets in the tree, known vulnerabilities in a lock.")
    checks = parser.add_subparsers(dest="check", required=True)
    checks.add_parser("secrets", help="secrets in the files under version control")
    checks.add_parser("audit", help="known vulnerabilities in a lock").add_argument("lock", type=Path)
    given = parser.parse_args(arguments)
    held = allowed()
    if given.check == "audit":
        return audit(given.lock, held.vulnerabilities, datetime.now(UTC).date())
    places = secrets(texts(HERE.parent), held.made_up)
    for place in places:
        print(place.removeprefix(f"{HERE.parent}/"))
    if places:
        print("Take each out of the tree, and out of use; only a made-up one goes into .ci/security.toml or gets # pragma: allowlist secret")
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
