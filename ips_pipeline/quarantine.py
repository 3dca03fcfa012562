"""Rows that a month's return would lose: how many by table and code, the rows themselves to work on, and the month run again when mended.

They are not kept apart: the landed rows and the findings about them are, so what is in quarantine is always what the last run refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ips_pipeline import flows
from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard
from ips_pipeline.mhsds.standard import REJECTING
from ips_pipeline.settings import Site, check_period
from ips_pipeline.store import folders, stages
from ips_pipeline.store.duck import Connection, identifier, session, text_literal

_FINDINGS = "{'table': 'VARCHAR', 'row': 'BIGINT', 'code': 'VARCHAR', 'level': 'VARCHAR'}"
_REJECTED = "{'table': 'VARCHAR', 'row': 'BIGINT'}"


@dataclass(frozen=True, slots=True)
class Held:
    """How many rows of one table of a month break one rejecting rule; ``rows`` is of all rejected rows of the table where ``code`` is None."""

    provider: str
    period: str
    table: str
    code: str | None
    level: str | None
    rows: int


def counts(site: Site, provider: str | None = None, period: str | None = None) -> list[Held]:
    """What is in quarantine of the months in force, by provider, month, table and code; each table begins with the rows it loses in all.

    A row may break several rules. Raises InputError for a provider's month, where both are given, that was not validated.
    """
    judged = _judged(site, provider, period)
    if provider is not None and period is not None and not judged:
        raise InputError(f"{provider} {period} has not been validated; run the month first")
    found: list[Held] = []
    if not judged:
        return found
    with session(read=[stage.path for _, _, stage in judged], temporary=site.temporary, memory_limit=site.options.memory_limit) as connection:
        for code, month, stage in judged:
            _load(connection, stage)
            found += [
                Held(code, month, *row)
                for row in connection.execute(
                    'SELECT "table", NULL AS code, NULL AS level, count(*) AS rows FROM refused GROUP BY "table"'
                    ' UNION ALL SELECT "table", code, level, count(*) FROM broken GROUP BY "table", code, level'
                    ' ORDER BY "table", code NULLS FIRST, level'
                ).fetchall()
            ]
    return found


def export(site: Site, provider: str, period: str) -> stages.Stage:
    """Write the rejected rows of a month as they landed, one CSV a table, with their row number and the codes they break.

    It goes to restricted/quarantine, for the owner only, since it holds patient data; ``ips purge`` takes it away again. The facts of the
    stage are the rows by table. Raises InputError when the month was not validated, or what landed is no longer what was judged.
    """
    held = _judged(site, provider, period)
    if not held:
        raise InputError(f"{provider} {period} has not been validated; run the month first")
    ((_, _, judged),) = held
    landed = stages.opened(site.landing(provider, period), judged.manifest["inputs"]["landing"])
    stages.verify(landed)
    inputs = {"findings": judged.identity, "landing": landed.identity}
    build = partial(_write, site, judged, landed)
    return stages.write(site.quarantine(provider, period), build, staging=site.staging, identity=stages.identity_of(inputs), inputs=inputs)


def replay(site: Site, provider: str, period: str, why: str, *, by: str | None = None) -> tuple[dict[str, Any], list[Held], list[Held]]:
    """Extract and validate a month again, with the reason in the ledger; gives the outcome, and what was in quarantine before and is now.

    Raises as ``flows.extract`` and ``flows.validate``; what was accepted before stays in force when the month is rejected as a file.
    """
    before = counts(site, provider, check_period(period)) if _judged(site, provider, period) else []
    flows.extract(site, provider, period, why=why, by=by)
    outcome = flows.validate(site, provider, period)
    return outcome, before, counts(site, provider, period)


def _judged(site: Site, provider: str | None, period: str | None) -> list[tuple[str, str, stages.Stage]]:
    """The findings in force, in order of provider as the site names them and of month."""
    found = []
    for code in [site.provider(provider).code] if provider is not None else [item.code for item in site.providers]:
        home = site.restricted / "findings" / code
        months = [period] if period is not None else sorted(path.name for path in home.iterdir()) if home.is_dir() else []
        found += [(code, month, stage) for month in months if (stage := stages.current(site.findings(code, month))) is not None]
    return found


def _load(connection: Connection, judged: stages.Stage) -> None:
    """``refused`` (table, row): every row that would not be loaded; ``broken`` (table, row, code, level): the rejecting rules it breaks."""
    levels = ", ".join(text_literal(level) for level in sorted(REJECTING))
    connection.execute(f"CREATE OR REPLACE TABLE refused AS SELECT DISTINCT * FROM {_csv(judged, 'rejected_rows.csv', _REJECTED)}")
    connection.execute(
        f"CREATE OR REPLACE TABLE broken AS SELECT DISTINCT * FROM {_csv(judged, 'findings.csv', _FINDINGS)}"
        f' SEMI JOIN refused USING ("table", row) WHERE level IN ({levels})'
    )


def _csv(judged: stages.Stage, name: str, columns: str) -> str:
    path = text_literal(str((judged.path / name).resolve()))
    return f"read_csv({path}, columns = {columns}, header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"')"


def _write(site: Site, judged: stages.Stage, landed: stages.Stage, folder: Path) -> Mapping[str, Any]:
    known = standard.load()
    rows: dict[str, int] = {}
    with session(read=[judged.path, landed.path], write=[folder], temporary=site.temporary, memory_limit=site.options.memory_limit) as connection:
        _load(connection, judged)
        names: Sequence[str] = [name for (name,) in connection.execute('SELECT DISTINCT "table" FROM refused ORDER BY ALL').fetchall()]
        folders.load(connection, [landed.path], [known.table(name) for name in names])
        for name in names:
            elements = ", ".join(identifier(element) for element in known.table(name).elements)
            target = text_literal(str((folder / f"{name}.csv").resolve()))
            (written,) = connection.execute(
                f"COPY (WITH marked AS (SELECT row, coalesce(string_agg(code, ' ' ORDER BY code), '') AS codes"
                f' FROM refused LEFT JOIN broken USING ("table", row) WHERE "table" = {text_literal(name)} GROUP BY row)'
                f" SELECT row, codes, {elements} FROM {identifier(name)} JOIN marked USING (row) ORDER BY row) TO {target} (FORMAT csv, HEADER)"
            ).fetchone() or (0,)
            rows[name] = written
    return {"rows": sum(rows.values()), "tables": rows}
