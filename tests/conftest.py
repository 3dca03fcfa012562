"""What several kinds of tests share."""

from __future__ import annotations

import csv
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.servers import Kind, NoServerError, Server, server
from ips_pipeline import settings

#: The columns of a release as computed: name, type.
_TEXT = ("family", "measure_id", "measure_name", "definition_version")
_RELEASED = pa.schema(
    [(name, pa.string()) for name in _TEXT]
    + [("period_start", pa.date32()), ("period_end", pa.date32())]
    + [(name, pa.string()) for name in ("status", "breakdown", "level", "level_name", "variant")]
    + [("numerator", pa.int64()), ("denominator", pa.int64()), ("value", pa.float64()), ("published", pa.string()), ("disclosure", pa.string())]
    + [(name, pa.float64()) for name in ("lower", "upper", "ratio", "ratio_lower", "ratio_upper")]
    + [(f"limit_{side}_{share}", pa.float64()) for share in ("95", "998") for side in ("lower", "upper")]
    + [(name, pa.string()) for name in ("reliability", "unit", "kind")]
)


def _row(measure: str, month: str, breakdown: str, level: str | None, numerator: int | None, **more: Any) -> dict[str, Any]:
    """A row of a release; a numerator of None is a hidden one."""
    shown = {"numerator": numerator, "value": float(numerator), "published": str(numerator), "disclosure": "rounded"} if numerator is not None else {}
    return {
        "family": "mhs116",
        "measure_id": measure,
        "measure_name": f"Name of {measure}",
        "definition_version": "2024-07",
        "period_start": date.fromisoformat(f"{month}-01"),
        "period_end": date.fromisoformat(f"{month}-28"),
        "status": "Performance",
        "breakdown": breakdown,
        "level": level,
        "variant": "local",
        "published": "*",
        "disclosure": "suppressed",
        "unit": "referrals",
        "kind": "count",
        **shown,
        **more,
    }


#: Two months; the whole, two providers, a team and a field of them, and a measure that was not evaluated.
ROWS: Sequence[Mapping[str, Any]] = (
    _row("MHS116", "2026-01", "England", "England", 125, level_name="England"),
    _row("MHS116", "2026-01", "Provider", "RXA", 70, level_name='THE "BUSY" TRUST, NORTH'),
    _row("MHS116", "2026-01", "Provider", "V9Z9Z", None, level_name="QUIET CHARITY"),
    _row("MHS116", "2026-02", "England", "England", 130, level_name="England"),
    _row("MHS116", "2026-02", "Provider", "RXA", 75),
    _row("MHS116", "2026-02", "Provider; Team", "RXA|T-1", 5),
    _row("MHS116", "2026-02", "Provider; Employment support team", "V9Z9Z Unknown", None),
    _row(
        "MHS116a",
        "2026-02",
        "England",
        "England",
        None,
        kind="rate",
        denominator=5_000_000,
        value=2.6,
        published="2.6",
        disclosure="rounded",
        lower=2.172,
    ),
    _row("MHS116a", "2026-02", "Sub-ICB", None, None, published=None, disclosure="not evaluated", variant="unsuppressed"),
)


@pytest.fixture
def released(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder with the measures of a small release, as they are when disclosure control is through with them."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([dict(row) for row in ROWS], schema=_RELEASED), folder / "measures.parquet")
        with (folder / "measures.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, _RELEASED.names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(ROWS)
        publication = folder / "publication"
        publication.mkdir()
        header = "REPORTING_PERIOD_START,REPORTING_PERIOD_END,STATUS,BREAKDOWN,PRIMARY_LEVEL,PRIMARY_LEVEL_DESCRIPTION"
        header += ",SECONDARY_LEVEL,SECONDARY_LEVEL_DESCRIPTION,MEASURE_ID,MEASURE_NAME,MEASURE_VALUE"
        line = "2025-03-01,2026-02-28,Performance,England,England,England,NONE,NONE,MHS116,Number of referrals,125"
        (publication / "MHSDS Data_FebPerf_2026_bbrb.csv").write_text(f"{header}\n{line}\n", encoding="utf-8")
        return folder

    return make


def _running(kind: Kind) -> Iterator[Server]:
    try:
        with server(kind) as made:
            yield made
    except NoServerError as lacking:
        if os.environ.get("IPS_TEST_SERVERS") == "required":
            pytest.fail(f"{lacking}; IPS_TEST_SERVERS asks for it")
        pytest.skip(str(lacking))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server for all tests; they are skipped where none is installed, or fail where IPS_TEST_SERVERS is ``required``."""
    yield from _running("postgresql")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """A MariaDB server, as ``postgresql``."""
    yield from _running("mariadb")


class Proxy:
    """Stands between a client and a server, at an address that is another machine as far as the pipeline knows.

    ``cut_after`` bytes of the server's answers on a connection, it ends the connection; ``stall_after`` as many, it passes nothing more
    on; None for never. ``cuts`` counts the connections ended.
    """

    def __init__(self, port: int, host: str) -> None:
        self.cut_after: int | None = None
        self.stall_after: int | None = None
        self.cuts = 0
        self._target = port
        self._listener = socket.create_server((host, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                behind = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._pass, args=(client, behind, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(behind, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        passed = 0
        with suppress(OSError):
            while block := source.recv(1 << 14):
                passed += len(block)
                if answers and self.cut_after is not None and passed > self.cut_after:
                    self.cuts += 1
                    break
                if answers and self.stall_after is not None and passed > self.stall_after:
                    continue
                target.sendall(block)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


#: What the made-up trust's database holds: people of the test range, and contacts enough that an extract takes many reads.
TRUST_PASSWORD = "Canarypassword-1"  # noqa: S105 - the test's own
CONTACTS = 6_000

_TRUST_MAPPING = """\
inputs:
  person: {query: "SELECT * FROM reporting.person"}
  referral: {query: "SELECT * FROM reporting.referral WHERE received_on <= :period_end"}
  contact: {query: "SELECT * FROM reporting.contact WHERE held_on BETWEEN :period_start AND :period_end"}
tables:
  MHS000Header:
    columns:
      DatSetVer: {value: "6.0"}
      OrgIDProvider: {parameter: provider}
      OrgIDSubmit: {parameter: submitter}
      ReportingPeriodStartDate: {parameter: period_start}
      ReportingPeriodEndDate: {parameter: period_end}
  MHS001MPI:
    from: person
    columns: {LocalPatientID: person_no, NHSNumber: nhs_number, PersonBirthDate: born_on}
  MHS002GP:
    from: person
    columns: {LocalPatientID: person_no, GMPReg: {value: V81999}}
  MHS101Referral:
    from: referral
    columns: {ServiceRequestID: referral_no, LocalPatientID: person_no, ReferralRequestReceivedDate: received_on}
  MHS201CareContact:
    from: contact
    columns: {CareContactID: contact_no, ServiceRequestID: referral_no, CareContDate: held_on, CareContTime: held_at}
"""

_TRUST_TABLES = f"""
CREATE TABLE epr.person (person_no VARCHAR(20) PRIMARY KEY, nhs_number CHAR(10), surname VARCHAR(50), born_on DATE);
CREATE TABLE epr.referral (referral_no VARCHAR(20) PRIMARY KEY, person_no VARCHAR(20), received_on DATE);
CREATE TABLE epr.contact (contact_no INTEGER PRIMARY KEY, referral_no VARCHAR(20), held_on DATE, held_at TIME, note VARCHAR(200));
CREATE TABLE epr.staff_pay (staff VARCHAR(20), pay INTEGER);
INSERT INTO epr.person SELECT CONCAT('P', n), CONCAT('999990', 1000 + n), CONCAT('Canarysurname', n), DATE '1980-01-01' FROM numbers WHERE n < 50;
INSERT INTO epr.referral SELECT CONCAT('R', n), CONCAT('P', n), DATE '2026-07-15' FROM numbers WHERE n < 50;
INSERT INTO epr.contact SELECT n, CONCAT('R', n % 50), DATE '2026-08-10', TIME '09:30:00', CONCAT('Canarynote ', n, REPEAT(' and so on', 15))
    FROM numbers WHERE n < {CONTACTS};
CREATE VIEW reporting.person AS SELECT person_no, nhs_number, surname, born_on FROM epr.person;
CREATE VIEW reporting.referral AS SELECT * FROM epr.referral;
CREATE VIEW reporting.contact AS SELECT * FROM epr.contact;
"""


@dataclass
class Trust:
    """A made-up trust whose records are in a real server: tables in the schema ``epr``, views of them in ``reporting``.

    The login ``owner`` may do anything with them; others come from the grants of ``examples/grants``.
    """

    server: Server
    home: Path
    proxies: list[Proxy] = field(default_factory=list)

    def database(self) -> str:
        return "trust" if self.server.kind == "postgresql" else "epr"

    def run(self, script: str) -> str:
        return self.server.run(script, self.database())

    def site(self, *, user: str = "owner", password: str = TRUST_PASSWORD, host: str = "127.0.0.1", port: int | None = None, **keys: Any) -> Any:
        """The site of the trust; ``keys`` are further ones of its source."""
        (self.home / "secrets").mkdir(exist_ok=True)
        (self.home / "reference").mkdir(exist_ok=True)
        database = self.database() if user == "owner" or self.server.kind == "postgresql" else "reporting"
        (self.home / "secrets/epr_url").write_text(self.server.url(user, password, database, host=host, port=port))
        (self.home / "mapping.yaml").write_text(_TRUST_MAPPING)
        written = "".join(f"\n{key} = {str(value) if isinstance(value, int) else repr(str(value))}" for key, value in keys.items())
        (self.home / "SITE.toml").write_text(
            'name = "A site"\ndata = "data"\nreference = "reference"\n'
            '[[providers]]\ncode = "RXX"\nname = "A trust"\nsource = "epr"\nmapping = "mapping.yaml"\n'
            f'[sources.epr]\nkind = "sql"\nurl = {{ file = "epr_url" }}\nbatch_rows = 500{written}\n'
        )
        return settings.load(self.home / "SITE.toml")

    def proxy(self, host: str = "127.0.0.2") -> Proxy:
        """A new proxy before the server."""
        self.proxies.append(Proxy(self.server.port, host))
        return self.proxies[-1]


@pytest.fixture(params=["postgresql", "mariadb"])
def trust(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trust]:
    """A made-up trust in each of the servers, new for every test."""
    running: Server = request.getfixturevalue(request.param)
    if running.kind == "postgresql":
        running.run("DROP DATABASE IF EXISTS trust WITH (FORCE); DROP ROLE IF EXISTS owner; DROP ROLE IF EXISTS ips_reader;", "postgres")
        running.run(f"CREATE ROLE owner LOGIN PASSWORD '{TRUST_PASSWORD}'", "postgres")
        running.run("CREATE DATABASE trust OWNER owner", "postgres")
        head = "SET ROLE owner; CREATE SCHEMA epr; CREATE SCHEMA reporting; CREATE TEMP TABLE numbers AS SELECT generate_series(0, 9999) AS n;"
        running.run(head + _TRUST_TABLES, "trust")
    else:
        running.run("DROP DATABASE IF EXISTS epr; DROP DATABASE IF EXISTS reporting; CREATE DATABASE epr; CREATE DATABASE reporting;", "mysql")
        running.run("DROP USER IF EXISTS owner; DROP USER IF EXISTS ips_reader;", "mysql")
        running.run(f"CREATE USER owner IDENTIFIED BY '{TRUST_PASSWORD}'; GRANT ALL ON epr.* TO owner; GRANT ALL ON reporting.* TO owner;", "mysql")
        head = "CREATE TEMPORARY TABLE epr.numbers AS SELECT seq AS n FROM seq_0_to_9999; SET sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT');"
        running.run(head + _TRUST_TABLES, "epr")
    made = Trust(running, tmp_path)
    yield made
    for proxy in made.proxies:
        proxy.close()
