"""The submission package of a provider-month: every table as CSV and Parquet, a checklist, and the Access file where a template is given.

The same rows give the same bytes, the Access file excepted: Access keeps the time at which tables were changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard
from ips_pipeline.store import stages
from ips_pipeline.store.duck import Connection, identifier, session, text_literal
from ips_pipeline.store.folders import load, steady
from ips_pipeline.submission import access
from ips_pipeline.submission.access import Runtime

CHECKLIST = "CHECKLIST.md"
#: The record that one validation leaves of what it judged, so that a package is built of exactly that.
SEAL = "judged.json"

_MODULES = ("package.py", "access.py", "access_worker.py")


@dataclass(frozen=True, slots=True)
class Return:
    """What a package is made of: a folder of rows, those of them that were rejected (``table, row`` as CSV), whose and which month."""

    rows: Path
    rejected: Path | None
    provider: str
    period: str
    roles: tuple[str, ...] = ()
    people: int = 1


def fingerprint() -> str:
    """A hash of the code that a package depends on."""
    home = Path(__file__).parent
    return stages.identity_of({name: stages.file_hash(home / name) for name in _MODULES})


def access_name(provider: str, period: str) -> str:
    """The name of the Access file: of all that the template holds, only rows and the file's name may change."""
    return f"MHSDS_{provider}_{period}.accdb"


def build(
    about: Return, folder: Path, *, template: Path | None, held: Runtime | None, temporary: Path, memory_limit: str | None = None
) -> dict[str, Any]:
    """Write the package into an empty folder; gives its facts: rows per table, hash of the tables, and what was proved of the Access file.

    The 61 tables go to ``csv/`` and ``parquet/`` as text in the order of the standard, those without rows with their header alone. With
    ``template`` and ``held`` a copy of it is filled, read back and compared cell for cell. Raises InputError for rows of another provider or
    month, for a template that is not right and for a value that its column cannot hold, PublishError and RetryableError as ``access.fill``.
    """
    for part in ("csv", "parquet"):
        (folder / part).mkdir(mode=0o700)
    temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(prefix="package-", dir=temporary) as name:
        work = Path(name)
        copy, structure = (None, None) if template is None or held is None else _take_template(template, about, folder, held, work)
        prepared: dict[str, Path] = {}
        read = [about.rows, *([about.rejected.parent] if about.rejected else [])]
        with steady([about.rows]), session(read=read, write=[folder, work], temporary=temporary, memory_limit=memory_limit) as connection:
            _accept(connection, about)
            _check_header(connection, about)
            rows = _write_tables(connection, folder)
            for table in standard.load().tables.values() if structure else ():
                if structure and rows[table.name]:
                    prepared[table.name] = work / f"{table.name}.parquet"
                    access.prepare(connection, table, f"{table.name} kept", structure.tables[table.name], prepared[table.name])
        facts: dict[str, Any] = {
            "provider": about.provider,
            "period": about.period,
            "rows": sum(rows.values()),
            "tables": rows,
            "hash": _hash(folder),
        }
        if copy and structure and held:
            cells = access.fill(copy, structure, prepared, held, work, memory_limit=memory_limit)
            facts["access"] = {"file": copy.name, "sha256": stages.file_hash(copy), "cells_compared": cells, "writer": held.jars[0].stem}
        (folder / CHECKLIST).write_text(_checklist(about, facts), encoding="utf-8")
    return facts


def _take_template(template: Path, about: Return, folder: Path, held: Runtime, work: Path) -> tuple[Path, access.Structure]:
    access.check_file(template)
    copy = folder / access_name(about.provider, about.period)
    shutil.copyfile(template, copy)
    structure = access.describe(copy, held, work)
    access.check_template(template, structure)
    return copy, structure


def _accept(connection: Connection, about: Return) -> None:
    """Make ``<table> kept`` for every table: the rows that would be loaded."""
    tables = list(standard.load().tables.values())
    load(connection, [about.rows], tables)
    connection.execute("CREATE TABLE refused (table_name VARCHAR, row BIGINT)")
    if about.rejected is not None:
        path = text_literal(str(about.rejected.resolve()))
        connection.execute(f"INSERT INTO refused SELECT * FROM read_csv({path}, header = true, columns = {{'table': 'VARCHAR', 'row': 'BIGINT'}})")
    for table in tables:
        connection.execute(
            f"CREATE VIEW {identifier(f'{table.name} kept')} AS SELECT * EXCLUDE (submission) FROM {identifier(table.name)}"
            f" WHERE row NOT IN (SELECT row FROM refused WHERE table_name = {text_literal(table.name)})"
        )


def _check_header(connection: Connection, about: Return) -> None:
    """The header says whose rows these are, and of which month; the portal takes it at its word."""
    header = standard.load().table("MHS000").name
    found = connection.execute(f"SELECT OrgIDProvider, left(ReportingPeriodStartDate, 7) FROM {identifier(f'{header} kept')}").fetchall()
    if found != [(about.provider, about.period)]:
        raise InputError(f"The header of {about.rows} is not one row of {about.provider} and {about.period}; run or validate that month again")


def _write_tables(connection: Connection, folder: Path) -> dict[str, int]:
    rows = {}
    for table in standard.load().tables.values():
        columns = ", ".join(identifier(element) for element in table.elements)
        query = f"SELECT {columns} FROM {identifier(f'{table.name} kept')} ORDER BY row"
        text, parquet = (text_literal(str((folder / part / f"{table.name}.{part}").resolve())) for part in ("csv", "parquet"))
        written = connection.execute(f"COPY ({query}) TO {text} (FORMAT csv, HEADER true)").fetchone()
        connection.execute(f"COPY ({query}) TO {parquet} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)")
        rows[table.name] = int(written[0]) if written else 0
    return rows


def _hash(folder: Path) -> str:
    """One SHA-256 over the CSV files in order of the standard: what a person can compare two packages by."""
    digest = hashlib.sha256()
    for table in standard.load().tables.values():
        digest.update(f"{table.name} {stages.file_hash(folder / 'csv' / f'{table.name}.csv')}\n".encode())
    return digest.hexdigest()


def _checklist(about: Return, facts: Mapping[str, Any]) -> str:
    """What a person does with the package, step by step, and what is in it."""
    held: Mapping[str, Any] | None = facts.get("access")
    version = standard.load().version
    if held:
        file = [
            f"The file to upload is `{held['file']}`: a copy of the template that was given, with these rows and nothing else changed.",
            f"All {held['cells_compared']:,} cells were read back and compared. SHA-256 `{held['sha256']}`.",
        ]
        upload = f"choose `{held['file']}`"
    else:
        file = [
            "There is no Access file in this package: it was built without a template or without what writes one. The portal takes nothing else, so",
            "either build again with `--template`, or import the CSV files into a copy of the official template, table by table in the order below.",
        ]
        upload = "choose the Access file you made"
    who = f"{about.people} of these {'approves' if about.people == 1 else 'approve'} exactly this content"
    signers = [f"- [ ] {who} with `ips signoff approve`: {', '.join(about.roles)}."]
    lines = [
        f"# MHSDS {version}: {about.provider}, {about.period}",
        "",
        "This folder holds patient data. Keep it in the restricted zone.",
        "",
        *file,
        f"{facts['rows']:,} accepted rows; SHA-256 of the tables `{facts['hash']}`.",
        "",
        "## Before it leaves",
        "",
        "- [ ] Compare the rows per table below with last month's; explain what is new or missing.",
        *(signers if about.roles else ["- [ ] Whoever answers for the return approves it, by your own procedure."]),
        "- [ ] A window that accepts the month is open; `ips calendar` shows it where its dates are known.",
        "",
        "## At SDCS Cloud",
        "",
        "- [ ] Log in with your own account, choose the Mental Health Services Data Set and the provider " + about.provider + ".",
        f"- [ ] Choose the reporting period {about.period} and {upload}. Each upload takes the place of the whole month.",
        "- [ ] Wait for the outcome in the submission history; download the summary reports.",
        "- [ ] Import them with `ips feedback import` and compare with `ips reconcile`. If the file was rejected, correct at source and build again.",
        "",
        "## Rows per table",
        "",
        "| table | rows |",
        "|---|---:|",
        *(f"| {name} | {rows:,} |" for name, rows in facts["tables"].items()),
        "",
    ]
    return "\n".join(lines)


def seal(folder: Path, out: Path, provider: str | None, period: str | None, file_codes: Sequence[str]) -> None:
    """Leave beside the findings of a submission folder what they are about, for ``unseal``."""
    held = {"provider": provider, "period": period, "file_codes": list(file_codes), **_sealed(folder, out)}
    (out / SEAL).write_text(json.dumps(held, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (out / SEAL).chmod(0o600)


def unseal(folder: Path, out: Path) -> dict[str, Any]:
    """What the findings in ``out`` are about: provider, period, file_codes, and the hashes of rows and findings.

    Raises InputError when they are about something else than the folder as it is now, or were changed themselves.
    """
    again = f"validate it by itself, with: ips validate {folder} --out {out}"
    try:
        held: dict[str, Any] = json.loads((out / SEAL).read_text(encoding="utf-8"))
        now = _sealed(folder, out)
    except (OSError, ValueError):
        raise InputError(f"{out} does not say which submission it judged; {again}") from None
    if held.get("rows") != now["rows"]:
        raise InputError(f"{folder} is not what was validated into {out}: its files have changed since; {again}")
    if held.get("findings") != now["findings"]:
        raise InputError(f"The findings in {out} have changed since they were written; {again}")
    return held


def _sealed(folder: Path, out: Path) -> dict[str, str]:
    names = {table.name for table in standard.load().tables.values()}
    files = sorted(path for path in folder.iterdir() if path.stem in names and path.suffix in (".csv", ".parquet"))
    return {
        "rows": stages.identity_of({path.name: stages.file_hash(path) for path in files}),
        "findings": stages.identity_of({name: stages.file_hash(out / name) for name in ("findings.csv", "rejected_rows.csv")}),
    }
