"""Read the dated targets: the national path that ships with the SQL (sql/targets.csv) and a site's own (targets.csv in its reference folder)."""

from __future__ import annotations

import calendar
import csv
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import get_args

from ips_pipeline.errors import InputError
from ips_pipeline.measures.registry import Basis
from ips_pipeline.store import steps
from ips_pipeline.store.duck import Connection, create_table

COLUMNS = ("measure", "org_type", "org_code", "period_end", "basis", "value", "source", "verified", "approved_by")
#: england counts only when every region of the geography is seen; site is everything that was submitted, whatever that is.
ORG_TYPES = ("england", "region", "icb", "sub_icb", "provider", "site")
WHOLE = ("england", "site")


def load(connection: Connection, reference: Path, bases: Mapping[str, str]) -> frozenset[str]:
    """Create ``target_given``: the columns of targets.csv with typed dates and values; where both files have a target, the site's holds.

    ``bases`` names the measures that can have a target, with what each counts. Local IPS records may hold targets too. Gives the inputs that
    measures of targets need: ``target_<basis>`` for each basis that has a target of a count like it, and ``target_people_for_referrals`` or
    ``target_referrals_for_people`` where target and count are not alike. Raises InputError for the first row that is wrong.
    """
    held: dict[tuple[str, ...], dict[str, str]] = {}
    for path in (steps.root() / "targets.csv", reference / "targets.csv"):
        if path.is_file():
            held |= _read(path, bases)
    create_table(connection, "target as text", {name: [row[name] or None for row in held.values()] for name in COLUMNS})
    connection.execute(
        "CREATE TABLE target_given AS SELECT * REPLACE (CAST(period_end AS DATE) AS period_end, CAST(value AS BIGINT) AS value,"
        " verified = 'yes' AS verified) FROM \"target as text\""
    )
    given = connection.execute(
        'SELECT DISTINCT measure, basis FROM target_given UNION SELECT measure, basis FROM "ips_target as recorded"'
    ).fetchall()
    return frozenset(_input(basis, bases[measure]) for measure, basis in given if measure in bases)


def _input(basis: str, counted: str) -> str:
    """The input that a target of one basis is for a measure that counts another, or the same."""
    of, over = basis.split(" ", 1)
    return f"target_{of}_{over}" if basis == counted else f"target_{of}_for_{counted.split(' ', 1)[0]}"


def _read(path: Path, bases: Mapping[str, str]) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of a file by what they are a target for."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise InputError(f"{path} has no column {missing[0]}; it needs {', '.join(COLUMNS)}")
            rows = [(reader.line_num, {name: (row[name] or "").strip() for name in COLUMNS}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise InputError(f"{path} cannot be read; save it as CSV UTF-8") from None
    held: dict[tuple[str, ...], dict[str, str]] = {}
    for line, row in rows:
        if fault := _fault(row, bases):
            raise InputError(f"{path}, line {line}: {fault}")
        key = tuple(row[name] for name in ("measure", "org_type", "org_code", "period_end", "basis"))
        if key in held:
            raise InputError(f"{path}, line {line}: this target is there already; keep one of the two rows")
        held[key] = row
    return held


def _fault(row: Mapping[str, str], bases: Mapping[str, str]) -> str | None:
    """What is wrong with a row and what to write instead; None when it is right."""
    return (
        _choice("measure", row["measure"], sorted(bases))
        or _choice("org_type", row["org_type"], ORG_TYPES)
        or _choice("basis", row["basis"], get_args(Basis))
        or _choice("verified", row["verified"], ("yes", "no"))
        or ("org_code is empty; give the code of the organisation" if not row["org_code"] and row["org_type"] not in WHOLE else None)
        or ("org_code has no place here; leave it empty" if row["org_code"] and row["org_type"] in WHOLE else None)
        or (None if _is_month_end(row["period_end"]) else "period_end is not the last day of a month; write it as yyyy-mm-dd")
        or (None if row["value"].isascii() and row["value"].isdigit() and int(row["value"]) else "value is not a whole number above 0")
        or (None if row["source"] else "source is empty; say where the target is written")
    )


def _choice(name: str, given: str, known: Collection[str]) -> str | None:
    return None if given in known else f"{name} is not one of {', '.join(known)}"


def _is_month_end(text: str) -> bool:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return False
    return day.isoformat() == text and day.day == calendar.monthrange(day.year, day.month)[1]
