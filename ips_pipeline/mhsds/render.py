"""Render the standard: table definitions in SQL, the field documentation, and that of local IPS records.

All are committed under docs/; a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ips_pipeline.mhsds.standard import EDITIONS, LOCAL, REJECTING, Field, Rule, Standard, Table, load, local_words

_SQL_TYPES = {"date": "DATE", "time": "TIME", "timestamp": "VARCHAR(25)"}
#: Digits of the widest number; a longer one, such as a SNOMED CT expression, is text.
_WIDEST = 18

_LEVELS = {"file": "file", "group": "group", "record": "record", "severity1": "severity 1", "warning": "warning"}


def ddl(standard: Standard) -> str:
    """CREATE TABLE statements for the tables of the intermediate database, typed, with keys and comments.

    They describe what an accepted row may hold. Submitted rows are kept as text and are not loaded into these tables.
    """
    parts = [f"-- MHSDS version {standard.version}: the tables of the intermediate database, in its order. Generated from the standard.\n"]
    for table in standard.tables.values():
        lines = [f"    {_column(field)}" for field in table.fields]
        keys = [f'"{field.element}"' for field in table.fields if field.key]
        if keys:
            lines.append(f"    PRIMARY KEY ({', '.join(keys)})")
        parts.append(f"-- {table.id} {table.title}\nCREATE TABLE {table.name} (\n" + ",\n".join(lines) + "\n);\n")
    return "\n".join(parts)


def documentation(standard: Standard) -> str:
    """The fields of every table in Markdown: element, identifier, name, format, mandation, link, code list, rule codes."""
    parts = [
        f"# MHSDS version {standard.version}: tables and fields\n",
        "Generated from `ips_pipeline/mhsds/` by `make generated`. Mandation is M where a blank rejects the row, R where it does not; the public "
        "sources do not tell required, optional and pilot elements apart. A rule's level is that of the published rules, then of ETOS where it "
        "differs; `ips rules show CODE` tells more.\n",
    ]
    for table in standard.tables.values():
        parts.append(f"## {table.name}: {table.title}\n")
        parts.append("| element | id | name | format | M/R | link | codes | rules |\n|---|---|---|---|---|---|---|---|")
        parts.append("\n".join(_row(field) for field in table.fields) + "\n")
        if table.rules:
            parts.append("Rules about rows together: " + ", ".join(_rule(rule) for rule in table.rules) + ".\n")
    return "\n".join(parts)


def local_documentation() -> str:
    """The tables of local IPS records in Markdown: sheets, columns, what they may be headed, code lists and rule codes."""
    standard = load(LOCAL)
    first_jobs = local_words()["caseload_job"]
    parts = [
        "# Local IPS records: tables and columns\n",
        "Generated from `ips_pipeline/mhsds/ips/` by `make generated`. No national standard holds these records; the tables and their rules are this "
        "project's proposal.\n",
        "Give them as CSV or Parquet files named by table (`ips_episode.csv`), as sheets of an Excel workbook, or as queries of a database. "
        "`ips records template FILE.xlsx` writes an empty workbook, `ips records validate` says what would not count. A sheet is known by its name "
        "and a column by its heading, whatever their capitals and punctuation; other sheets and columns are left alone. Only episodes are needed; "
        "what another table would tell is then not evaluated.\n",
        "Needed is M where a blank keeps the row from counting, R where measures need the value, O where it may stay empty. Dates may be written "
        "as 2026-01-05, 05/01/2026, 5 January 2026 or a date of Excel; codes by the code, its meaning or the other words listed. A rule in brackets "
        "only flags the row; `ips rules show CODE` tells more.\n",
    ]
    for table in standard.tables.values():
        parts.append(f"## {table.name}: {table.title}\n")
        parts.append(f"Sheet: {', '.join(local_words()['sheets'][table.name])}.\n")
        parts.append("| column | what it is | format | needed | also headed | codes | rules |\n|---|---|---|---|---|---|---|")
        parts.append("\n".join(_local_row(table, field) for field in table.fields) + "\n")
        if table.rules:
            parts.append("Rules about rows together: " + ", ".join(map(_local_rule, table.rules)) + ".\n")
        if table.name == "ips_episode":
            headed = "; ".join(f"{', '.join(words)} (`{element}`)" for element, words in first_jobs.items())
            parts.append(f"A caseload sheet may tell the first job beside its client, where there is no sheet of jobs: {headed}.\n")
    parts.append("## Codes\n")
    for name in sorted({field.codes for table in standard.tables.values() for field in table.fields if field.codes}):
        parts.append(f"### {name}\n\n| code | meaning | other words |\n|---|---|---|")
        parts.append("\n".join(f"| {row['code']} | {row['meaning']} | {_other_words(row)} |" for row in standard.code_rows(name)) + "\n")
    return "\n".join(parts)


def _local_row(table: Table, field: Field) -> str:
    headings = local_words()["headings"][table.name].get(field.element, ())
    codes = f"[{field.codes}](#{field.codes.lower()})" if field.codes else ""
    cells = (field.element, field.name, _format(field), field.mandation, ", ".join(headings), codes, ", ".join(map(_local_rule, field.rules)))
    return "| " + " | ".join(cells) + " |"


def _local_rule(rule: Rule) -> str:
    return rule.code if rule.levels["published"] in REJECTING else f"({rule.code})"


def _other_words(row: Mapping[str, str]) -> str:
    """The words for a code beside itself and its meaning."""
    known = {row["code"].lower(), row["meaning"].lower()}
    return ", ".join(word for word in (row.get("words") or "").split("|") if word and word not in known)


def _column(field: Field) -> str:
    if field.type in ("integer", "decimal") and (field.max_length or 0) <= _WIDEST:
        # The one number with decimals is a charge, up to seven digits before the point (MHS51708).
        sql_type = f"DECIMAL({field.max_length}, 0)" if field.max_length else "DECIMAL(9, 2)"
    else:
        sql_type = _SQL_TYPES.get(field.type) or (f"VARCHAR({field.max_length})" if field.max_length else "VARCHAR")
    required = " NOT NULL" if field.mandation == "M" else ""
    return f'"{field.element}" {sql_type}{required}'


def _row(field: Field) -> str:
    cells = (
        f"{field.element}{' (key)' if field.key else ''}",
        field.uid,
        field.name,
        _format(field),
        field.mandation,
        field.parent or "",
        field.codes or "",
        ", ".join(_rule(rule) for rule in field.rules),
    )
    return "| " + " | ".join(cells) + " |"


def _format(field: Field) -> str:
    if field.max_length is None:
        return field.type
    return f"{field.type}, {field.min_length}-{field.max_length}" if field.min_length else f"{field.type}, up to {field.max_length}"


def _rule(rule: Rule) -> str:
    published, etos = (_LEVELS[level] if (level := rule.levels.get(edition)) else "none" for edition in EDITIONS)
    return f"{rule.code} ({published})" if published == etos else f"{rule.code} ({published}; ETOS {etos})"


def main(arguments: Sequence[str]) -> int:
    """``python -m ips_pipeline.mhsds.render DOCS``: write all renderings into a folder."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m ips_pipeline.mhsds.render DOCS\n")
        return 2
    folder, standard = Path(arguments[0]), load()
    (folder / "mhsds-v6.sql").write_text(ddl(standard), encoding="utf-8")
    (folder / "mhsds-v6-fields.md").write_text(documentation(standard), encoding="utf-8")
    (folder / "local-ips-records.md").write_text(local_documentation(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
