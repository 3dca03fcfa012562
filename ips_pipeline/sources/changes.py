"""What is different between two landings of a month: records added, changed and withdrawn, and people who were merged.

A record is told by the key of its table in the standard; where the standard has none, by all its elements, so that a changed one counts as
withdrawn and added. The header says when a landing was made and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ips_pipeline.mhsds import standard
from ips_pipeline.mhsds.standard import Table
from ips_pipeline.settings import Site
from ips_pipeline.store import stages
from ips_pipeline.store.duck import Connection, identifier, session, text_literal

CHANGES = "changes.csv"

_HEADER = "MHS000"
_PERSON = "LocalPatientID"


@dataclass(frozen=True, slots=True)
class Counts:
    """Records of one table that were added, changed or withdrawn; ``moved`` are those changed ones that belong to another person now."""

    added: int
    changed: int
    withdrawn: int
    moved: int

    def words(self) -> str:
        """4 added, 1 changed, 1 withdrawn: what there is of it."""
        told = ((self.added, "added"), (self.changed, "changed"), (self.withdrawn, "withdrawn"))
        return ", ".join(f"{count:,} {what}" for count, what in told if count)


def keep(site: Site, provider: str, period: str, was: stages.Stage, now: stages.Stage) -> stages.Stage:
    """Compare two landings of a month and keep the result, with the ids of the records alone, in the restricted zone.

    The facts are ``tables``: by table the fields of ``Counts``, where anything is different, and ``people``: how many persons' records
    belong to another person now, which is how a merge of two persons shows. Raises InputError where a landing is not what it was.
    """
    inputs = _inputs(provider, period, was.identity, now.identity)
    build = partial(_compare, site, was.path, now.path)
    return stages.write(site.changes(provider, period), build, staging=site.staging, identity=stages.identity_of(inputs), inputs=inputs)


def kept(site: Site, provider: str, period: str, was: str, now: str) -> stages.Stage | None:
    """The comparison of two landings of a month, by their identities; None where it was never made, or is kept no longer."""
    identity = stages.identity_of(_inputs(provider, period, was, now))
    shelf = site.changes(provider, period)
    return stages.opened(shelf, identity) if stages.held(shelf, identity) else None


def known_by(about: Table) -> list[str]:
    """The elements that ``record`` names a record of a table by: its key, else those of its elements that are keys of other tables."""
    keys = [field.element for field in about.fields if field.key]
    ids = {field.element for table in standard.load().tables.values() for field in table.fields if field.key}
    return keys or [element for element in about.elements if element in ids]


def counts(facts: Mapping[str, Any]) -> dict[str, Counts]:
    """The counts by table, of the facts of a comparison."""
    return {name: Counts(**item) for name, item in facts["tables"].items()}


def words(tables: Mapping[str, Counts]) -> str:
    """Care Contact: 4 added, 1 changed, 1 withdrawn; Referral: 1 added."""
    return "; ".join(f"{standard.load().table(name).title}: {item.words()}" for name, item in tables.items())


def _inputs(provider: str, period: str, was: str, now: str) -> dict[str, str]:
    return {"provider": provider, "period": period, "was": was, "now": now}


def _compare(site: Site, was: Path, now: Path, folder: Path) -> Mapping[str, Any]:
    found: dict[str, dict[str, int]] = {}
    with session(read=[was, now], write=[folder], temporary=site.temporary, memory_limit=site.options.memory_limit) as connection:
        connection.execute('CREATE TABLE told ("table" VARCHAR, what VARCHAR, record VARCHAR, person_was VARCHAR, person_now VARCHAR)')
        for key, about in standard.load().tables.items():
            if key == _HEADER or not any((side / f"{about.name}.parquet").is_file() for side in (was, now)):
                continue
            for name, side in (("was", was), ("now", now)):
                path = side / f"{about.name}.parquet"
                nothing = "SELECT " + ", ".join(f"CAST(NULL AS VARCHAR) AS {identifier(element)}" for element in about.elements) + " LIMIT 0"
                source = f"FROM read_parquet({text_literal(str(path))})" if path.is_file() else nothing
                connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {source}")
            one = _table(connection, about)
            if any((one.added, one.changed, one.withdrawn)):
                found[about.name] = {name: getattr(one, name) for name in Counts.__slots__}
        ((people,),) = connection.execute("SELECT count(DISTINCT person_was) FROM told WHERE what = 'moved'").fetchall()
        connection.execute(f"COPY (FROM told ORDER BY ALL) TO {text_literal(str(folder / CHANGES))} (FORMAT csv, HEADER)")
    return {"tables": found, "people": people}


def _table(connection: Connection, about: Table) -> Counts:
    """Compare ``was`` and ``now`` of one table and add to ``told`` which records are different, by ids alone."""
    keys = [field.element for field in about.fields if field.key]
    named = ", ".join(identifier(element) for element in keys or about.elements)
    shown = " || ' ' || ".join(f"coalesce({identifier(element)}, '')" for element in known_by(about)) or "''"
    # As multisets: a landing may hold a key twice, which is for the rules to find.
    connection.execute("CREATE OR REPLACE TEMP TABLE came AS (FROM now EXCEPT ALL FROM was)")
    connection.execute("CREATE OR REPLACE TEMP TABLE went AS (FROM was EXCEPT ALL FROM now)")
    for name, rows in (
        ("added", f"SELECT DISTINCT {named} FROM came EXCEPT SELECT {named} FROM was" if keys else f"SELECT {named} FROM came"),
        ("withdrawn", f"SELECT DISTINCT {named} FROM went EXCEPT SELECT {named} FROM now" if keys else f"SELECT {named} FROM went"),
        ("changed", f"(SELECT {named} FROM came UNION SELECT {named} FROM went) EXCEPT FROM added EXCEPT FROM withdrawn"),
    ):
        if name == "changed" and not keys:
            connection.execute("CREATE OR REPLACE TEMP TABLE changed AS FROM added LIMIT 0")
        else:
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {rows}")
        connection.execute(f"INSERT INTO told SELECT {text_literal(about.name)}, {text_literal(name)}, {shown}, NULL, NULL FROM {name}")
    moved = 0
    if keys and _PERSON in about.elements and _PERSON not in keys:
        rows = (
            f"SELECT DISTINCT {text_literal(about.name)}, 'moved', {shown}, old, new FROM (SELECT {named}, {_PERSON} AS old FROM went)"
            f" JOIN (SELECT {named}, {_PERSON} AS new FROM came) USING ({named}) WHERE old IS DISTINCT FROM new"
        )
        (moved,) = connection.execute(f"INSERT INTO told {rows}").fetchone() or (0,)
    added, changed, withdrawn = (connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in ("added", "changed", "withdrawn"))
    return Counts(added, changed, withdrawn, moved)
