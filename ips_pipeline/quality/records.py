"""Judge local IPS records by the rules of their own tables (IPSR-nnn), and write the findings and the rows that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ips_pipeline.mhsds.formats import MACROS
from ips_pipeline.mhsds.standard import LOCAL, REJECTING, Standard, load
from ips_pipeline.quality import findings, rulebook
from ips_pipeline.quality.findings import RuleSet
from ips_pipeline.store import folders
from ips_pipeline.store.duck import Connection, create_table, identifier, session, text_literal
from ips_pipeline.store.folders import ROW_COLUMN

#: What a warning that compares with another table says when that table was not given.
_NO_TABLE = "no {table} was given"


@dataclass(frozen=True, slots=True)
class RecordsVerdict:
    """The outcome for one provider's records; counts only. ``not_evaluated`` maps a rule code to the reason."""

    out: Path
    rows_given: int
    rows_rejected: int
    findings: int
    not_evaluated: Mapping[str, str]

    @property
    def accepted(self) -> Path:
        """The folder of the rows that count, one Parquet file per table."""
        return self.out / "accepted"

    def facts(self) -> dict[str, Any]:
        """The outcome as a manifest keeps it."""
        return {
            "rows_given": self.rows_given,
            "rows_rejected": self.rows_rejected,
            "findings": self.findings,
            "not_evaluated": dict(self.not_evaluated),
        }


def validate(
    records: Path,
    out: Path,
    *,
    submissions: Sequence[Path] | None = None,
    temporary: Path | None = None,
    memory_limit: str | None = None,
) -> RecordsVerdict:
    """Judge a folder of landed records (one file per table) and write what its service needs to know into ``out``.

    ``findings.csv``: table, row, code, level; ``row`` is that of the sheet or file it came from. ``rejected_rows.csv``: table, row; rows
    that do not count, after the cascade (a job without its episode does not count either). ``summary.csv``: per rule that failed how many
    rows, how severe, and the rule in words. ``accepted/<table>.parquet``: the rows that count. ``submissions`` are the submission folders
    <provider>/<yyyy-mm> whose referrals the records may name; without them that rule is not evaluated. Raises InputError for a file
    that cannot be read.
    """
    standard = load(LOCAL)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    tables = tuple(standard.tables.values())
    with session(
        read=[records, *sorted({folder.resolve() for folder in submissions or ()})], write=[out], temporary=temporary, memory_limit=memory_limit
    ) as connection:
        for macro in MACROS:
            connection.execute(macro)
        folders.load(connection, [records], tables)
        for table in tables:
            connection.execute(f"CREATE VIEW {identifier(table.name + ' judged')} AS FROM {identifier(table.name)}")
        if submissions is not None:
            _load_referrals(connection, submissions)
        rules = _rules(connection, standard, known_referrals=submissions is not None)
        findings.judge(connection, rules, 1)
        _write(connection, rules, out)
        return RecordsVerdict(out, *_counts(connection), rules.not_evaluated)


def _load_referrals(connection: Connection, submissions: Sequence[Path]) -> None:
    """``known_referral`` (provider, ServiceRequestID) from the MHSDS rows of the providers."""
    referral = load().table("MHS101")
    folders.load(connection, submissions, [referral], elements={referral.name: ("ServiceRequestID",)}, suffix=" returned")
    providers = {"submission": [str(number) for number in range(1, len(submissions) + 1)], "provider": [item.parent.name for item in submissions]}
    create_table(connection, "returned by", providers)
    connection.execute(
        f"CREATE TABLE known_referral AS SELECT DISTINCT sender.provider, referral.ServiceRequestID FROM {identifier(referral.name + ' returned')}"
        ' AS referral JOIN "returned by" AS sender ON CAST(sender.submission AS INTEGER) = referral.submission'
    )


def _rules(connection: Connection, standard: Standard, *, known_referrals: bool) -> RuleSet:
    """The rules, without those that warn about a table that was not given: it would fail every row."""
    rules = findings.rule_set(standard, "published", ["known_referral"] if known_referrals else [])
    empty = {table.id for table in standard.tables.values() if not connection.execute(f"FROM {identifier(table.name)} LIMIT 1").fetchall()}
    skipped = {
        rule.code: _NO_TABLE.format(table=standard.table(rule.arguments["parent"]).name)
        for rule in standard.rules()
        if rule.arguments.get("parent") in empty and rule.levels["published"] not in REJECTING
    }
    skipped |= dict.fromkeys(rules.not_evaluated, "no MHSDS submissions were given to compare with")
    return replace(
        rules,
        by_set={table: tuple(rule for rule in held if rule.code not in skipped) for table, held in rules.by_set.items()},
        referential=tuple(rule for rule in rules.referential if rule.code not in skipped),
        not_evaluated=skipped,
    )


def _write(connection: Connection, rules: RuleSet, out: Path) -> None:
    standard = rules.standard
    known = list(standard.rules())
    create_table(
        connection,
        "rule",
        {
            "code": [rule.code for rule in known],
            "level": [rules.levels[rule.code] for rule in known],
            "sentence": [rulebook.sentence(rule) for rule in known],
        },
    )
    _copy(connection, 'SELECT table_name AS "table", row, code, level FROM findings JOIN rule USING (code) ORDER BY ALL', out / "findings.csv")
    _copy(connection, 'SELECT DISTINCT table_name AS "table", row FROM rejected ORDER BY ALL', out / "rejected_rows.csv")
    _copy(
        connection,
        'SELECT table_name AS "table", code, level, count(*) AS rows, sentence FROM findings JOIN rule USING (code) GROUP BY ALL ORDER BY ALL',
        out / "summary.csv",
    )
    accepted = out / "accepted"
    accepted.mkdir(exist_ok=True, mode=0o700)
    for table in standard.tables.values():
        if (table.name,) in connection.execute("SELECT DISTINCT table_name FROM submitted").fetchall():
            columns = ", ".join(identifier(element) for element in table.elements)
            path = accepted / f"{table.name}.parquet"
            connection.execute(
                f"COPY (SELECT {columns}, row AS {identifier(ROW_COLUMN)} FROM {identifier(table.name + ' valid')} ORDER BY row)"
                f" TO {text_literal(str(path.resolve()))} (FORMAT parquet, COMPRESSION zstd)"
            )
            path.chmod(0o600)


def _counts(connection: Connection) -> tuple[int, int, int]:
    counts = connection.execute(
        "SELECT (SELECT coalesce(sum(rows), 0) FROM submitted), (SELECT count(*) FROM (SELECT DISTINCT table_name, row FROM rejected)),"
        " (SELECT count(*) FROM findings)"
    ).fetchone() or (0, 0, 0)
    return int(counts[0]), int(counts[1]), int(counts[2])


def _copy(connection: Connection, query: str, path: Path) -> None:
    connection.execute(f"COPY ({query}) TO {text_literal(str(path.resolve()))} (FORMAT csv, HEADER true)")
    path.chmod(0o600)
