"""Data Docs: what the Great Expectations gate expected of a submission and whether it was met, as one page that anybody may open.

Made from the gate's record (``gate.json``), which holds codes and counts and never a value, and not by Great Expectations' own
renderer: that one prints what a result holds, which for counts means the result formats that also hold offending values, and
its pages load sixteen files and a tracking image from the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard as mhsds
from ips_pipeline.mhsds.standard import REJECTING
from ips_pipeline.reports import pages
from ips_pipeline.store.stages import storage_error

FOLDER, PAGE = "data_docs", "index.html"

#: How an expectation is named to people, by its type.
_KINDS: Mapping[str, str] = {
    "unexpected_rows_expectation": "no row breaks the rule",
    "expect_column_values_to_match_regex": "values have the form",
    "expect_column_values_to_be_in_set": "values are in the set",
    "expect_compound_columns_to_be_unique": "keys are unique",
}


def write_data_docs(out: Path, sentences: Mapping[str, str]) -> Path | None:
    """Write ``data_docs/index.html`` from ``gate.json`` in the folder, owner-only; gives its path, or None where there is no record.

    ``sentences`` says per code what the rule asks for. Raises InputError for a record that cannot be read, and RetryableError when
    the page cannot be written.
    """
    record = out / "gate.json"
    if not record.is_file():
        return None
    try:
        content = _content(json.loads(record.read_text(encoding="utf-8")), sentences)
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{record} is not the record of the gate; validate the submission again") from None
    folder = out / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from None
    return pages.write_page(folder / PAGE, "data_docs.html", content)


def _content(record: Mapping[str, Any], sentences: Mapping[str, str]) -> dict[str, Any]:
    """What the page says: the file first, then table by table in the order of the standard."""
    standard = mhsds.load()
    place = {table.name: number for number, table in enumerate(standard.tables.values())}
    results = sorted(record["results"], key=lambda result: (result["over"] != "file", place[result["table"]]))
    suites = [
        _suite(name, standard.table(name).title if name else "", list(group), sentences)
        for name, group in groupby(results, key=lambda result: "" if result["over"] == "file" else result["table"])
    ]
    reasons: dict[str, list[str]] = {}
    for code, reason in record["not_evaluated"].items():
        reasons.setdefault(reason, []).append(code)
    return {
        "verdict": record["verdict"],
        "engine": record["engine"],
        "edition": pages.EDITIONS[record["edition"]],
        "standard": standard.version,
        "run": len(results),
        "unmet": sum(suite["unmet"] for suite in suites),
        "rejecting": sum(suite["rejecting"] for suite in suites),
        "suites": suites,
        "not_evaluated": sorted(reasons.items()),
    }


def _suite(name: str, title: str, results: list[dict[str, Any]], sentences: Mapping[str, str]) -> dict[str, Any]:
    """One suite: its expectations that were not met, the most severe and most frequent first, and those that were."""
    lines = [
        {
            **{key: result[key] for key in ("code", "element", "rows")},
            "sentence": sentences.get(result["code"], ""),
            "kind": _KINDS.get(result["expectation"], result["expectation"]),
            "rejects": result["level"] in REJECTING,
            "share": _share(result["rows"], result["looked_at"]),
        }
        for result in results
        if result["over"] != "left"
    ]
    left = [result for result in results if result["over"] == "left"]
    unmet = sorted((line for line in lines if line["rows"]), key=lambda line: (not line["rejects"], -line["rows"], line["code"]))
    return {
        "name": name or "file",
        "title": title,
        "about_file": not name,
        "rows": max((result["looked_at"] for result in results if result["over"] == "submitted"), default=0),
        "run": len(results),
        "unmet": len(unmet),
        "rejecting": sum(line["rejects"] for line in unmet),
        "lines": [*unmet, *(line for line in lines if not line["rows"])],
        "left": {"rows": left[0]["looked_at"], "codes": [result["code"] for result in left]} if left else None,
    }


def _share(rows: int, of: int) -> str:
    """The share in per cent; a few rows of many are not nothing."""
    if not rows or not of:
        return ""
    share = 100 * rows / of
    return "under 0.1%" if share < 0.1 else f"{share:.1f}%"
