"""A site's settings: SITE.toml, the environment and a secrets directory, as typed, frozen values.

Secrets never stand in SITE.toml. It refers to them::

    url = { env = "EPR_URL" }           the environment variable EPR_URL
    url = { file = "epr_url" }          the file epr_url in the secrets directory
    url = { airflow = "epr" }           the Airflow connection epr: in a task wherever Airflow keeps it, else AIRFLOW_CONN_EPR

The secrets directory is IPS_SECRETS, else the key ``secrets``, else ``secrets`` beside SITE.toml. IPS_DATA stands over the key
``data``. Every path in SITE.toml is relative to the folder that holds it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, StringConstraints, ValidationError, model_validator

from ips_pipeline.errors import UsageError

#: A reporting month as it is written everywhere: yyyy-mm.
PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")

#: What becomes part of a path in the data root, so it is held to letters and digits.
_Code = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{3,6}$")]
_Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]

#: Gives an Airflow connection, as its URI or its JSON, by its id; None when there is none. Handed in by whoever has Airflow.
Connections = Callable[[str], str | None]


class _Settings(BaseModel):
    """Frozen, and strict about keys; a value that fails is not repeated, since it may be a secret put in the wrong place."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Reference(_Settings):
    """Where a secret is kept: one of an environment variable, a file in the secrets directory, an Airflow connection."""

    env: _Text | None = None
    file: _Text | None = None
    airflow: _Text | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.env, self.file, self.airflow)) != 1:
            raise ValueError("a secret is given by exactly one of env, file or airflow")
        return self


class SqlSource(_Settings):
    """A database that SQLAlchemy can reach. ``url`` may be written out only when it holds no password."""

    kind: Literal["sql"]
    url: _Text | Reference
    password: Reference | None = None
    #: How the way to another machine is protected: ``verify`` also checks that the server is the one ``ca`` vouches for, ``require``
    #: encrypts, ``off`` does not. Left out, it is ``verify`` with ``ca`` and ``require`` without.
    tls: Literal["verify", "require", "off"] | None = None
    #: The certificates (PEM) of the authority that signed the server's.
    ca: Path | None = None
    #: Seconds to wait for the server, for a lock that others hold, and for a query.
    connect_seconds: int = Field(default=15, ge=1, le=600)
    lock_seconds: int = Field(default=60, ge=1, le=3_600)
    statement_seconds: int = Field(default=3_600, ge=1, le=86_400)
    batch_rows: int = Field(default=20_000, ge=1, le=1_000_000)
    #: How many extracts Airflow runs from it at once.
    slots: int = Field(default=1, ge=1, le=128)

    @model_validator(mode="after")
    def _no_secret_in_the_open(self) -> Self:
        if isinstance(self.url, str) and re.search(r"//[^/@]*:[^/@]+@", self.url):
            raise ValueError('url holds a password; put the URL in the secrets directory and write url = { file = "…" }')
        return self


class FilesSource(_Settings):
    """A folder of CSV or Parquet files, workbooks or Access databases with the trust's own names and columns."""

    kind: Literal["files"]
    folder: Path
    #: How many extracts Airflow runs from it at once.
    slots: int = Field(default=4, ge=1, le=128)


Source = Annotated[SqlSource | FilesSource, Field(discriminator="kind")]


class Provider(_Settings):
    """One provider of the site: its ODS code, where its data come from, and how they map to the standard."""

    code: _Code
    name: _Text
    source: _Key
    mapping: Path
    #: ODS code of the organisation that submits for it; itself unless said otherwise.
    submitter: _Code = Field(default_factory=lambda data: data.get("code", ""))
    #: Its local IPS records: a folder of files, an Excel workbook, or a YAML file with queries of a source.
    ips_records: Path | None = None


class Options(_Settings):
    """What a site may choose. ``edition`` decides whose wording and severities judge a return.

    ``disclosure`` is the rule of a release: "local" hides and rounds everything, totals too; "published" is for a national body, which
    publishes MHS116 as NHS England does: exact for England, the rest suppressed and rounded.
    """

    edition: Literal["published", "etos-6.0"] = "published"
    disclosure: Literal["local", "published"] = "local"
    memory_limit: Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)? ?[KMGT]i?B$")] | None = None


class Signoff(_Settings):
    """Who answers for a return: the roles that may approve it, and how many different persons have to."""

    roles: tuple[_Text, ...] = Field(default=("Head of information", "Caldicott Guardian", "Senior information risk owner"), min_length=1)
    people: int = Field(default=1, ge=1, le=2)
    #: Who holds a role: accounts, as the ledger and Airflow know them. A role that is not listed may be taken by anyone who may run the command.
    holders: Mapping[_Text, tuple[_Text, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_roles(self) -> Self:
        for role in self.holders:
            if role not in self.roles:
                raise ValueError(f"[signoff.holders] names the role {role}, which roles does not have; it has {', '.join(self.roles)}")
        return self


class Licence(_Settings):
    """The terms a release may be used under. ``name`` is an Open Definition id such as OGL-UK-3.0, ``attribution`` what a user has to say."""

    title: _Text
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")] | None = None
    path: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    attribution: _Text | None = None


class Publish(_Settings):
    """How releases go out: their licence (none is stated unless given here), and where a copy of each goes.

    ``copy_to`` is a URL such as s3://bucket/prefix or file:///srv/share; ``endpoint`` the address of an S3 service that is not Amazon's. The
    ``credentials`` are kept elsewhere; without them the storage library looks where it always does. ``lineage`` keeps OpenLineage events.
    """

    licence: Licence | None = None
    copy_to: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*://.*[^/]$")] | None = None
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    credentials: Reference | None = None
    lineage: bool = True

    @model_validator(mode="after")
    def _no_secret_in_the_open(self) -> Self:
        if any(address and re.search(r"//[^/@]*:[^/@]*@", address) for address in (self.copy_to, self.endpoint)):
            raise ValueError('[publish] holds a password; put it in the secrets directory and write credentials = { file = "…" }')
        return self


class Keep(_Settings):
    """How long what is no longer in force stays: ``days`` since it was made, the newest ``versions`` of a month; where both are given, both."""

    days: int | None = Field(default=None, ge=0)
    versions: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.days is None and self.versions is None:
            raise ValueError("[retention] needs days or versions for each zone it names, such as landing = { days = 90 }")
        return self


class Retention(_Settings):
    """What may be purged of each zone, and when; of a zone that is not named everything stays unless the command says otherwise."""

    landing: Keep | None = None
    findings: Keep | None = None
    accepted: Keep | None = None
    ips_records: Keep | None = None
    evidence: Keep | None = None
    package: Keep | None = None
    feedback: Keep | None = None
    quarantine: Keep | None = None
    drift: Keep | None = None
    changes: Keep | None = None
    tmp: Keep | None = None
    lineage: Keep | None = None

    @model_validator(mode="after")
    def _by_days(self) -> Self:
        for name, keep in (("quarantine", self.quarantine), ("tmp", self.tmp), ("lineage", self.lineage)):
            if keep is not None and keep.days is None:
                raise ValueError(f"[retention] keeps {name} by days, such as {name} = {{ days = 7 }}; it has no versions")
        return self


#: What becomes of a month whose source has changed: it is not taken, it is set aside for a person, or it is taken and told.
DriftMode = Literal["freeze", "quarantine", "evolve"]


class Drift(_Settings):
    """What becomes of a month whose input has another shape or volume than before, see ``sources.drift``.

    ``mode`` holds for every input of a mapping and every table unless ``entities`` gives it its own; ``landings`` is how many earlier months are
    compared with.
    """

    mode: DriftMode = "evolve"
    landings: int = Field(default=6, ge=1, le=36)
    entities: Mapping[_Key, DriftMode] = Field(default_factory=dict)


class Site(_Settings):
    """A site, with every path absolute. ``file`` is the SITE.toml it was read from."""

    file: Path
    name: _Text
    data: Path
    reference: Path
    secrets: Path
    #: One sentence at the head of every page of a release, such as that the data are made up.
    notice: str | None = None
    status: Literal["Provisional", "Performance", "Final", "Adhoc"] = "Performance"
    providers: tuple[Provider, ...] = Field(min_length=1)
    sources: Mapping[_Key, Source]
    #: The folder of the site's own checks (LOCAL-nnn); those beside the package otherwise.
    local_checks: Path | None = None
    options: Options = Options()
    #: The submission windows of the site's years, as the user entered them; the known national ones otherwise.
    calendar: Path | None = None
    #: Days before a window closes in which a month counts as closing.
    closing_days: int = Field(default=5, ge=0, le=31)
    #: Where an approved return is handed over, for the person who uploads it.
    outbox: Path | None = None
    #: The empty intermediate database of which a copy is filled for each package, unless another is given.
    template: Path | None = None
    signoff: Signoff = Signoff()
    publish: Publish = Publish()
    retention: Retention = Retention()
    drift: Drift = Drift()
    #: Months before the one extracted that are looked at for late records, where they were handed over.
    late_months: int = Field(default=3, ge=0, le=12)
    _connections: Connections | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        codes = [provider.code for provider in self.providers]
        for code in codes:
            if codes.count(code) > 1:
                raise ValueError(f"provider {code} is listed twice")
        for provider in self.providers:
            if provider.source not in self.sources:
                raise ValueError(
                    f"provider {provider.code} names the source {provider.source}, which [sources] does not have{near(provider.source, self.sources)}"
                )
        return self

    def provider(self, code: str) -> Provider:
        """The provider of that ODS code; UsageError when the site has none."""
        for provider in self.providers:
            if provider.code == code:
                return provider
        known = ", ".join(provider.code for provider in self.providers)
        raise UsageError(f"{self.file} has no provider {code}; it has {known}")

    def source_of(self, code: str) -> SqlSource | FilesSource:
        """The source of a provider."""
        return self.sources[self.provider(code).source]

    def secret(self, reference: Reference) -> SecretStr:
        """The secret a reference points at. Raises UsageError naming the place when nothing is there."""
        if reference.file is not None:
            return self._secret_file(reference.file)
        if reference.airflow is not None and self._connections is not None:
            held = (self._connections(reference.airflow) or "").strip()
            if not held:
                raise UsageError(f"{self.file} refers to the connection {reference.airflow}, which Airflow does not have; add it and run again")
            return SecretStr(held)
        variable = reference.env or f"AIRFLOW_CONN_{(reference.airflow or '').upper()}"
        value = os.environ.get(variable, "").strip()
        if not value:
            raise UsageError(f"{self.file} refers to the environment variable {variable}, which is not set; set it and run again")
        return SecretStr(value)

    def _secret_file(self, name: str) -> SecretStr:
        path = (self.secrets / name).resolve()
        if not path.is_relative_to(self.secrets.resolve()):
            raise UsageError(
                f"{self.file} refers to the secret file {name}, which lies outside the secrets directory {self.secrets}; name a file inside it"
            )
        try:
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"{self.file} refers to the secret file {name}; {path} cannot be read; put it there or set IPS_SECRETS") from None
        if not value:
            raise UsageError(f"{self.file} refers to the secret file {name}; {path} is empty")
        return SecretStr(value)

    @property
    def restricted(self) -> Path:
        """The zone of patient data, owner-only."""
        return self.data / "restricted"

    @property
    def temporary(self) -> Path:
        """Where DuckDB spills and raw extracts wait; inside the restricted zone."""
        return self.restricted / "tmp"

    @property
    def staging(self) -> Path:
        """Where stages are built before they are renamed into place; on the same disk as every shelf."""
        return self.temporary / "staging"

    def landing(self, provider: str, period: str) -> Path:
        """Shelf of what a provider's systems held for a month, mapped to the standard, all text."""
        return self._shelf(self.restricted / "landing", period, provider)

    def findings(self, provider: str, period: str) -> Path:
        """Shelf of the validation results of a provider and month."""
        return self._shelf(self.restricted / "findings", period, provider)

    def accepted(self, provider: str, period: str) -> Path:
        """Shelf of the rows that would be loaded."""
        return self._shelf(self.restricted / "accepted", period, provider)

    def ips_records(self, provider: str, period: str) -> Path:
        """Shelf of the local IPS records of a provider as they stood when a month was run, with their findings."""
        return self._shelf(self.restricted / "ips_records", period, provider)

    def package(self, provider: str, period: str) -> Path:
        """Shelf of the package made of an accepted month, as it would be sent."""
        return self._shelf(self.restricted / "submission", period, provider)

    def feedback(self, provider: str, period: str, kind: str) -> Path:
        """Shelf of what came back about a provider and month: ``reports``, ``extract`` or ``publication``."""
        return self._shelf(self.restricted / "feedback" / kind, period, provider)

    def quarantine(self, provider: str, period: str) -> Path:
        """Shelf of exports of the rows of a provider and month that were rejected."""
        return self._shelf(self.restricted / "quarantine", period, provider)

    def drift_shelf(self, provider: str, period: str) -> Path:
        """Shelf of what a landing looked like beside the ones before it: a profile, and what has changed."""
        return self._shelf(self.restricted / "drift", period, provider)

    def changes(self, provider: str, period: str) -> Path:
        """Shelf of comparisons between landings of a provider and month: ids of records."""
        return self._shelf(self.restricted / "changes", period, provider)

    def snapshot(self, provider: str, name: str) -> Path:
        """Shelf of what an input of a provider's mapping held at an extract, where only changes are fetched; of all months."""
        return self.restricted / "snapshots" / self.provider(provider).code / name

    @property
    def lineage(self) -> Path:
        """The folder of OpenLineage events; restricted, since they hold exact counts of rows."""
        return self.restricted / "lineage"

    @property
    def ledger(self) -> Path:
        """The folder of the ledger."""
        return self.restricted / "ledger"

    def evidence(self, period: str) -> Path:
        """Shelf of the evidence rows behind the measures of a month."""
        return self._shelf(self.restricted / "evidence", period)

    def releases(self, period: str) -> Path:
        """Shelf of what is published for a month; no patient data."""
        return self._shelf(self.data / "releases", period)

    def _shelf(self, root: Path, period: str, provider: str | None = None) -> Path:
        check_period(period)
        return root / self.provider(provider).code / period if provider is not None else root / period


def check_period(period: str) -> str:
    """The period itself when it is a month written yyyy-mm; UsageError otherwise."""
    if not PERIOD.fullmatch(period):
        raise UsageError("The period must be a month written yyyy-mm, such as 2026-08")
    return period


def near(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """A hint that ends a message: the known name a wrong one was probably meant to be, or nothing."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return f" (did you mean {lower[close[0]]}?)" if close else ""


def load(path: Path, *, connections: Connections | None = None) -> Site:
    """Read SITE.toml. Raises UsageError, one line that says where it looked and what to change.

    The mapping files and the reference folder must exist; secrets are read only when a source is opened. ``connections`` gives those that
    Airflow keeps; without it they are looked for in the environment.
    """
    path = path.expanduser().absolute()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no settings file {path}; give the path of a SITE.toml with --config") from None
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"The settings file {path} cannot be read; check that it is a UTF-8 text file you may read") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML{_place(error)}; correct that line") from None
    if "file" in content:
        raise UsageError(f"{path}: unknown key file in the top level; correct or remove it")
    home = path.parent
    content["file"] = path
    content["secrets"] = os.environ.get("IPS_SECRETS") or content.get("secrets", "secrets")
    if data := os.environ.get("IPS_DATA"):
        content["data"] = data
    try:
        site = Site.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {_first_error(error)}") from None
    site = site.model_copy(
        update={
            "data": _under(home, site.data),
            "reference": _under(home, site.reference),
            "local_checks": _under(home, site.local_checks) if site.local_checks else None,
            "calendar": _under(home, site.calendar) if site.calendar else None,
            "outbox": _under(home, site.outbox) if site.outbox else None,
            "template": _under(home, site.template) if site.template else None,
            "secrets": _under(home, site.secrets),
            "providers": tuple(_with_paths(provider, home) for provider in site.providers),
            "sources": {name: _source_with_paths(source, home) for name, source in site.sources.items()},
        }
    )
    site._connections = connections
    if site.local_checks and not site.local_checks.is_dir():
        raise UsageError(f"{path}: local_checks names the folder {site.local_checks}, which does not exist; create it or correct the path")
    if not site.reference.is_dir():
        raise UsageError(f"{path}: reference names the folder {site.reference}, which does not exist; create it or correct the path")
    for provider in site.providers:
        if provider.ips_records is not None and not provider.ips_records.exists():
            raise UsageError(f"{path}: provider {provider.code} names the local records {provider.ips_records}, which do not exist; correct the path")
        if not provider.mapping.is_file():
            raise UsageError(
                f"{path}: provider {provider.code} names the mapping {provider.mapping}, which does not exist; create it or correct the path"
            )
    return site


def _with_paths(provider: Provider, home: Path) -> Provider:
    """The provider with absolute paths."""
    records = provider.ips_records
    return provider.model_copy(update={"mapping": _under(home, provider.mapping), "ips_records": records and _under(home, records)})


def _source_with_paths(source: SqlSource | FilesSource, home: Path) -> SqlSource | FilesSource:
    """The source with absolute paths."""
    if isinstance(source, FilesSource):
        return source.model_copy(update={"folder": _under(home, source.folder)})
    return source.model_copy(update={"ca": source.ca and _under(home, source.ca)})


def _under(home: Path, path: Path) -> Path:
    """An absolute path, without following links, from one that is relative to the settings."""
    return Path(os.path.normpath(home / path.expanduser()))


def _place(error: tomllib.TOMLDecodeError) -> str:
    """Line and column of a syntax error; the parser's message also repeats text of the line, which may be a secret."""
    found = re.search(r"at line (\d+), column (\d+)", str(error))
    return f" at line {found[1]}, column {found[2]}" if found else ""


def _first_error(error: ValidationError) -> str:
    """One sentence about the first thing wrong in the settings, without the value that is wrong."""
    # A mistyped key is also reported as a missing one, and a url is tried both as text and as a reference: the telling one leads.
    rank = {"extra_forbidden": 0, "value_error": 1}
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    first = min(errors, key=lambda item: (rank.get(item["type"], 2), "constrained-str" in item["loc"]))
    where = _where(first["loc"])
    name = next((str(part) for part in reversed(first["loc"]) if isinstance(part, str) and part not in _UNION_MEMBERS), "")
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key {name} in {where}{near(name, _known_keys(first['loc']))}; correct or remove it"
        case "missing":
            return f"the key {name} is missing in {where}; add it"
        case "union_tag_not_found" | "union_tag_invalid":
            return f'{where} needs kind = "sql" or kind = "files"'
        case "value_error":
            return str(first["msg"]).removeprefix("Value error, ")
        case _:
            message = str(first["msg"])
            return f"{name} in {where} is not right: {message[0].lower()}{message[1:]}"


#: Names that pydantic puts into an error's location for the members of a union; they are not keys.
_UNION_MEMBERS = frozenset({"constrained-str", "Reference", "sql", "files"})


def _where(location: tuple[int | str, ...]) -> str:
    """The heading in SITE.toml that an error's location belongs to."""
    match location:
        case ("providers", int(number), *_):
            return f"[[providers]] number {number + 1}"
        case ("sources", str(name), *_):
            return f"[sources.{name}]"
        case ("publish", "licence", *_):
            return "[publish.licence]"
        case ("options" | "signoff" | "publish" | "retention" | "drift" as heading, *_):
            return f"[{heading}]"
        case _:
            return "the top level"


def _known_keys(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys that are right where an unknown one was found."""
    if {"url", "password", "credentials"} & set(location[:-1]):
        model: type[_Settings] = Reference
    elif location[0] == "sources":
        model = FilesSource if "files" in location else SqlSource
    elif location[0] == "providers":
        model = Provider
    elif location[0] == "signoff":
        model = Signoff
    elif location[0] == "retention":
        model = Keep if len(location) > 2 else Retention
    elif location[0] == "drift":
        model = Drift
    elif location[0] == "publish":
        model = Licence if "licence" in location[:-1] else Publish
    else:
        model = Options if location[0] == "options" else Site
    return tuple(name for name in model.model_fields if name != "file" or model is Reference)
