"""Validate submission folders and write what a provider needs to know: findings, rejected rows, and the rows that would be loaded."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds.standard import Edition, Standard, load
from ips_pipeline.quality import checks, findings, portal
from ips_pipeline.quality.checks import History, LocalCheck
from ips_pipeline.quality.findings import Portal, RuleSet
from ips_pipeline.quality.gate import great_expectations
from ips_pipeline.quality.gate import run as run_gate
from ips_pipeline.store import completeness, steps
from ips_pipeline.store.duck import Connection, create_table, identifier, session, text_literal
from ips_pipeline.store.folders import ROW_COLUMN, steady
from ips_pipeline.store.groups import STANDARD

#: Look-up lists of the reference folder that the rules read.
LISTS = ("organisations", "schools", "postcodes")

#: Submissions judged together: enough to share the cost of a statement, few enough to bound memory.
_BATCH_FOLDERS = 200
_BATCH_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one submission; counts only. ``file_codes`` reject it as a file; ``gate`` is the recorded verdict, if asked for.

    ``findings`` are the portal's, ``checks`` those of the checks beyond the portal.
    """

    folder: Path
    out: Path
    file_codes: tuple[str, ...]
    rows_submitted: int
    rows_rejected: int
    findings: int
    not_evaluated: Mapping[str, str]
    checks: int = 0
    gate: str | None = None

    def facts(self) -> dict[str, Any]:
        """The outcome as a manifest keeps it."""
        return {
            "file_codes": list(self.file_codes),
            "rows_submitted": self.rows_submitted,
            "rows_rejected": self.rows_rejected,
            "findings": self.findings,
            "not_evaluated": dict(self.not_evaluated),
            "checks": self.checks,
            "gate": self.gate,
        }


def edition_of(name: str) -> Edition:
    """The edition behind the name used in commands and settings: ``published`` or ``etos-6.0``."""
    return "etos" if name == "etos-6.0" else "published"


def validate(
    submissions: Sequence[Path],
    reference: Path,
    outs: Sequence[Path],
    portals: Sequence[Portal],
    *,
    edition: Edition = "published",
    accepted: bool = False,
    gate: bool = False,
    history: History | None = None,
    local: Sequence[LocalCheck] = (),
    temporary: Path | None = None,
    memory_limit: str | None = None,
) -> list[Verdict]:
    """Judge every submission folder and write ``findings.csv``, ``rejected_rows.csv`` and the portal's reports into its output folder.

    ``findings.csv``: table, row, code, level; one line per rule that a row fails, row 0 for the file itself.
    ``rejected_rows.csv``: table, row; every row that would not be loaded, after the cascade. ``completeness.csv``: per field that
    matters for IPS how many values are valid, other, defaulted, invalid and missing (``sql/quality/vodim.sql``). ``checks.csv`` and
    ``checks.json``: what the checks beyond the portal find, ``local`` ones among them; ``history`` are the providers' earlier
    months, with which a submission is compared. With ``accepted`` the rows that would be loaded are written to
    ``accepted/<table>.parquet`` in the same layout, with the submitted row number, unless the file is rejected. With ``gate``
    Great Expectations runs the suites too and its result is written to ``gate.json``. Raises InputError when a folder or a file
    cannot be read, and IpsError when the gate differs from the findings.
    """
    check_folders(submissions)
    standard = load()
    verdicts: list[Verdict] = []
    if gate:
        # It takes seconds to load, which pass while the files are read and judged.
        Thread(target=great_expectations, daemon=True).start()
    for start, stop in _batches(submissions):
        folders, targets = submissions[start:stop], outs[start:stop]
        for target in targets:
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
        readable = [*folders, STANDARD, *(history or {}).values(), *([reference] if reference.is_dir() else [])]
        with session(read=readable, write=targets, temporary=temporary, memory_limit=memory_limit) as connection:
            with steady(folders):
                lists = findings.load(connection, folders, portals[start:stop], reference, standard)
                rules = findings.rule_set(standard, edition, lists)
                findings.judge(connection, rules, len(folders))
                _tally(connection, rules)
                # None reads what another makes, and most statements of a single month keep only one core busy.
                with ThreadPoolExecutor(2) as beside:
                    reports = beside.submit(portal.write, connection.cursor(), rules, targets)
                    gating = beside.submit(run_gate, connection.cursor(), rules, len(folders)) if gate else None
                    completeness.prepare(connection, standard, macros=False)
                    steps.run(connection, [completeness.STEP], {})
                    outcomes = checks.evaluate(connection, portals[start:stop], reference, lists, history, local)
                    reports.result()
                    gated = gating.result() if gating else []
            _write_completeness(connection, targets)
            for number, (folder, target) in enumerate(zip(folders, targets, strict=True), 1):
                verdict = replace(_write(connection, rules, number, folder, target), checks=outcomes[number - 1].found)
                checks.write(connection, number, outcomes[number - 1], target)
                if gated:
                    gated[number - 1].write_json(target / "gate.json")
                    verdict = replace(verdict, gate=gated[number - 1].verdict)
                if accepted and not verdict.file_codes:
                    _write_accepted(connection, standard, number, target / "accepted")
                verdicts.append(verdict)
    return verdicts


def check_folders(submissions: Sequence[Path]) -> None:
    """Raise InputError for the first submission that is not a folder, or not one that may be read."""
    for folder in submissions:
        try:
            if not folder.is_dir():
                raise InputError(f"The submission folder {folder} does not exist or is not a folder; check the path")
            next(folder.iterdir(), None)
        except OSError as error:
            raise InputError(f"The submission folder {folder} cannot be read ({error.strerror}); check its permissions") from None


def _batches(submissions: Sequence[Path]) -> Iterator[tuple[int, int]]:
    """Slices of the submissions that are small enough to judge together."""
    start, size = 0, 0
    for position, folder in enumerate(submissions):
        weight = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        if position > start and (position - start >= _BATCH_FOLDERS or size + weight > _BATCH_BYTES):
            yield start, position
            start, size = position, 0
        size += weight
    if start < len(submissions):
        yield start, len(submissions)


def _tally(connection: Connection, rules: RuleSet) -> None:
    """``report`` (findings with level and table order) and ``gone`` (rejected rows), shared by all submissions of a batch."""
    create_table(connection, "level_of", {"code": list(rules.levels), "level": list(rules.levels.values())})
    connection.execute("CREATE VIEW report AS SELECT submission, table_name, row, code, level FROM findings JOIN level_of USING (code)")
    connection.execute("CREATE TABLE gone AS SELECT DISTINCT submission, table_name, row FROM rejected")


def _write(connection: Connection, rules: RuleSet, number: int, folder: Path, target: Path) -> Verdict:
    """Write the reports of one submission and count what they hold."""
    own = f"FROM report WHERE submission = {number}"
    _copy(connection, f'SELECT table_name AS "table", row, code, level {own} ORDER BY ALL', target / "findings.csv")
    _copy(connection, f'SELECT table_name AS "table", row FROM gone WHERE submission = {number} ORDER BY ALL', target / "rejected_rows.csv")
    codes = connection.execute("SELECT DISTINCT code FROM report WHERE submission = ? AND level = 'file' ORDER BY code", [number]).fetchall()
    counts = connection.execute(
        "SELECT (SELECT coalesce(sum(rows), 0) FROM submitted WHERE submission = $number), (SELECT count(*) FROM gone WHERE submission = $number),"
        " (SELECT count(*) FROM findings WHERE submission = $number)",
        {"number": number},
    ).fetchone() or (0, 0, 0)
    return Verdict(folder, target, tuple(code for (code,) in codes), int(counts[0]), int(counts[1]), int(counts[2]), dict(rules.not_evaluated))


def _write_completeness(connection: Connection, targets: Sequence[Path]) -> None:
    """``completeness.csv`` of every submission: a few lines each, read in one go."""
    lines: dict[int, list[tuple[Any, ...]]] = {}
    for number, *line in connection.execute(
        "SELECT submission, table_name, element, vodim.counted, valid, other, defaulted, invalid, missing"
        " FROM vodim JOIN completeness_field USING (table_name, element) ORDER BY submission, position"
    ).fetchall():
        lines.setdefault(number, []).append(tuple(line))
    for number, target in enumerate(targets, 1):
        path = target / "completeness.csv"
        with path.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(("table", "element", "counted", "valid", "other", "defaulted", "invalid", "missing"))
            writer.writerows(lines.get(number, ()))
        path.chmod(0o600)


def _copy(connection: Connection, query: str, path: Path) -> None:
    connection.execute(f"COPY ({query}) TO {text_literal(str(path.resolve()))} (FORMAT csv, HEADER true)")
    path.chmod(0o600)


def _write_accepted(connection: Connection, standard: Standard, number: int, target: Path) -> None:
    """The rows that would be loaded, one Parquet file per table that has any, in the order submitted."""
    target.mkdir(mode=0o700)
    left = connection.execute(
        "SELECT table_name FROM submitted WHERE submission = $number AND rows >"
        " (SELECT count(*) FROM gone WHERE gone.submission = $number AND gone.table_name = submitted.table_name)",
        {"number": number},
    ).fetchall()
    for table in (standard.table(name) for (name,) in sorted(left)):
        columns = ", ".join(identifier(element) for element in table.elements)
        path = target / f"{table.name}.parquet"
        connection.execute(
            f"COPY (SELECT {columns}, row AS {identifier(ROW_COLUMN)} FROM {identifier(table.name + ' valid')} WHERE submission = {number}"
            f" ORDER BY row) TO {text_literal(str(path.resolve()))} (FORMAT parquet, COMPRESSION zstd)"
        )
        path.chmod(0o600)
