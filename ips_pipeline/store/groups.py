"""Load the code groups of the standard (attended, direct, IPS team, …) into tables that SQL joins to."""

from __future__ import annotations

from pathlib import Path

from ips_pipeline.mhsds import standard
from ips_pipeline.store.duck import Connection, text_literal

#: The folder of the standard's own groups of codes, which the session must be allowed to read.
STANDARD = Path(standard.__file__).resolve().parent / "v6"

_UNBOUNDED = 99_999


def load_groups(connection: Connection) -> None:
    """Create ``code_group``, ``code_level`` and ``band`` from the standard's CSV files groups, levels and bands.

    A month or an age left empty is unbounded.
    """
    connection.execute(
        'CREATE TABLE code_group AS SELECT "group" AS group_name, list, code, meaning,'
        f" coalesce(CAST(from_month AS INTEGER), 0) AS from_month, coalesce(CAST(to_month AS INTEGER), {_UNBOUNDED}) AS to_month, provider"
        f" FROM {_standard_csv('groups')}"
    )
    connection.execute(
        "CREATE TABLE code_level AS SELECT class, list, code, level, description,"
        f" coalesce(CAST(from_month AS INTEGER), 0) AS from_month, coalesce(CAST(to_month AS INTEGER), {_UNBOUNDED}) AS to_month"
        f" FROM {_standard_csv('levels')}"
    )
    connection.execute(
        f"CREATE TABLE band AS SELECT class, coalesce(CAST(lowest AS INTEGER), -{_UNBOUNDED}) AS lowest,"
        f" coalesce(CAST(highest AS INTEGER), {_UNBOUNDED}) AS highest, level FROM {_standard_csv('bands')}"
    )


def _standard_csv(name: str) -> str:
    return f"read_csv({text_literal(str(STANDARD / f'{name}.csv'))}, header = true, all_varchar = true)"
