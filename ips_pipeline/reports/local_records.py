"""The report of a service's own IPS records, for the people who keep them: what counts, what does not, and how to mend it.

It lies in the restricted zone and yet holds no value of a patient: sheets, row numbers, codes and counts say where to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ips_pipeline.mhsds import standard as mhsds
from ips_pipeline.mhsds.standard import LOCAL
from ips_pipeline.reports import findings, pages
from ips_pipeline.store.duck import session

PAGE = "report.html"


def write_records_report(
    out: Path,
    *,
    rows: Mapping[str, int],
    places: Mapping[str, str],
    unread: Mapping[str, Sequence[str]],
    sentences: Mapping[str, str],
    advice: Mapping[str, str],
    not_evaluated: Mapping[str, str],
    provider: str | None = None,
    temporary: Path | None = None,
) -> Path:
    """Write ``report.html`` beside the ``findings.csv`` and ``rejected_rows.csv`` of local IPS records and give its path.

    ``rows`` are the rows given by table and ``places`` the sheet or file each table came from; ``unread`` are the headings that were not
    understood, by sheet or file, none where the whole sheet was not. ``sentences`` and ``advice`` are those of the rule book by code,
    ``not_evaluated`` the codes that were not judged with the reason. Raises InputError for files that cannot be read, and RetryableError
    when the page cannot be written.
    """
    standard = mhsds.load(LOCAL)
    rules = {rule.code: rule for rule in standard.rules()}
    with session(read=[out], temporary=temporary) as connection:
        findings.read(connection, {1: out})
        fired = findings.fired(connection, rules).get(1, [])
        (tables,) = findings.per_table(connection, standard, {1: rows}).values()
    # What only follows from rows that do not count comes back with them, so it comes last.
    fired.sort(key=lambda item: item.rule.kind == "parent_exists")
    described = []
    for item in fired:
        table = standard.table(item.rule.table)
        about = item.described(standard, sentences, advice)
        about["file"] = places.get(table.name, table.name)
        about["name"] = table.field(item.rule.element).name if item.rule.element else None
        described.append(about)
    totals = {key: sum(table[key] for table in tables) for key in ("submitted", "rejected", "warned")}
    content = {
        **totals,
        "provider": provider,
        "codes": len(described),
        "tables": [{**table, "place": places.get(table["name"], table["name"])} for table in tables],
        "groups": findings.by_severity(described),
        "unread": sorted((Path(place).name, list(headings)) for place, headings in unread.items()),
        "not_evaluated": findings.reasons(not_evaluated, rules),
    }
    return pages.write_page(out / PAGE, "local_records.html", content)
