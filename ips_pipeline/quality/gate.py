"""The gate: Great Expectations runs the suites generated from the standard over judged submissions, and its verdict is recorded.

The suites under ``expectations/suites`` say every rule of a table as an expectation. The gate runs those of the edition in force
on the same DuckDB connection as the findings, and both must name the same codes for the same number of rows. Submissions that were
judged together go through it together: most of its cost is by the expectation and not by the row. Over the rows that would be
loaded it also holds that every referential rule that rejects is kept, so that the cascade is known to be complete.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

from ips_pipeline.errors import IpsError
from ips_pipeline.mhsds.standard import REJECTING, Edition, Level, Rule, Standard, Table, load
from ips_pipeline.quality.findings import FILE_KINDS, INERT_KINDS, RuleSet
from ips_pipeline.quality.kinds import KINDS, Judged, unexpected_rows
from ips_pipeline.store.duck import Connection, identifier, text_literal

#: Relations that expectations look at. ``uploads``: one row per submission. ``judged``: the rows of a table that the rules judge.
#: ``valid``: the rows of it left after the cascade.
_UPLOADS, _JUDGED, _VALID = "uploads", "judged", "valid"

#: Kinds that can only be about an element.
_ONE_ELEMENT = frozenset({"length", "in_list"})

_STRUCTURE = "the tables and columns of an Access file are compared where one is read"


#: What the record calls the relations: the file as a whole, the rows as submitted, the rows left after the cascade.
_ROLES = {_UPLOADS: "file", _JUDGED: "submitted", _VALID: "left"}


@dataclass(frozen=True, slots=True)
class Result:
    """One expectation over the rows of one submission: ``rows`` is how many it did not expect, 1 or 0 for one about the file.

    ``over`` is ``file``, ``submitted`` or ``left``; ``looked_at`` is how many rows of the table there were in it.
    """

    table: str
    over: str
    code: str
    element: str | None
    expectation: str
    looked_at: int
    rows: int


@dataclass(frozen=True, slots=True)
class GateResult:
    """What Great Expectations found in one submission. Codes and counts only, never a value.

    ``verdict`` is ``accepted``, ``accepted with rejections`` or ``rejected``. ``failed`` gives the rows each failed code has, 1 for a
    code about the file; ``results`` has every expectation, met or not. ``seconds`` is how long the gate took, the import of Great
    Expectations included; it is not written.
    """

    verdict: str
    edition: Edition
    engine: str
    results: Sequence[Result]
    failed: Mapping[str, int]
    levels: Mapping[str, Level]
    not_evaluated: Mapping[str, str]
    seconds: float

    @property
    def expectations(self) -> int:
        """How many expectations looked at the submission."""
        return len(self.results)

    def write_json(self, path: Path) -> None:
        """Write the result for the record, readable by its owner only; the same submission gives the same bytes."""
        content = {
            "verdict": self.verdict,
            "edition": self.edition,
            "engine": self.engine,
            "expectations": self.expectations,
            "failed": [{"code": code, "level": self.levels[code], "rows": rows} for code, rows in sorted(self.failed.items())],
            "not_evaluated": dict(sorted(self.not_evaluated.items())),
        }
        # One expectation a line.
        results = ",\n".join("  " + json.dumps({**asdict(result), "level": self.levels[result.code]}) for result in self.results)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(json.dumps(content, indent=1).removesuffix("\n}") + f',\n "results": [\n{results}\n ]\n}}\n', encoding="utf-8")


def suite(table: Table, standard: Standard) -> dict[str, Any]:
    """The Great Expectations suite of a table, for all editions: one expectation per rule that can be decided.

    ``meta`` of an expectation gives the official code, the element, the level in each edition and the relations it runs over;
    ``meta`` of the suite gives the codes without an expectation and the reason.
    """
    held = Judged(standard, table)
    expectations, without = [], {}
    for rule in _rules(table, standard):
        if reason := _undecidable(rule):
            without[rule.code] = reason
            continue
        expectation, sentence, over = _expectation(rule, held)
        level = rule.levels.get("published") or rule.levels["etos"]
        expectations.append(
            {
                "type": expectation["type"],
                "kwargs": expectation["kwargs"],
                "severity": _severity(level),
                "description": sentence,
                "meta": {"code": rule.code, "element": rule.element, "level": dict(rule.levels), "over": over},
            }
        )
    return {"name": table.name, "expectations": expectations, "meta": {"standard": standard.version, "without_expectation": without}}


def write_suites(standard: Standard, folder: Path) -> None:
    """Write ``<table>.json`` for every table of the standard, one expectation a line."""
    for table in standard.tables.values():
        (folder / f"{table.name}.json").write_text(suite_text(suite(table, standard)), encoding="utf-8")


def suite_text(content: Mapping[str, Any]) -> str:
    """A suite as its file holds it."""
    lines = ",\n".join("  " + json.dumps(item, ensure_ascii=False) for item in content["expectations"])
    meta = json.dumps(content["meta"], ensure_ascii=False)
    return f'{{\n "name": {json.dumps(content["name"])},\n "meta": {meta},\n "expectations": [\n{lines}\n ]\n}}\n'


def great_expectations() -> ModuleType:
    """Great Expectations on DuckDB. It takes seconds to import, so only a run that asks for the gate does, and may do so ahead."""
    from ips_pipeline.quality import gx_duckdb  # noqa: PLC0415

    return gx_duckdb


def run(connection: Connection, rules: RuleSet, submissions: int = 1) -> list[GateResult]:
    """Run the suites over all submissions that ``findings.judge`` has judged on this connection; one result for each, in order.

    Raises IpsError when Great Expectations and the findings differ in any code or count, when a row that would be loaded breaks a
    referential rule, or when an expectation cannot be evaluated.
    """
    started = perf_counter()
    gx_duckdb = great_expectations()
    failed: dict[str, int] = defaultdict(int)
    orphaned: set[str] = set()
    ran: list[tuple[Table, str, Mapping[int, int], list[dict[str, Any]]]] = []
    filled = {name for (name,) in connection.execute("SELECT DISTINCT table_name FROM submitted").fetchall()}
    with gx_duckdb.opened(connection) as engine, moments(connection, rules):
        for table in rules.standard.tables.values():
            for over, query, expectations in _due(rules, table, table.name in filled):
                closure = over == _VALID
                engine.fill(query)
                # Rules about rows hold where there is none.
                if not (held := engine.rows("submission")):
                    continue
                ran.append((table, over, held, expectations))
                for outcome in engine.run(expectations):
                    code = outcome.meta["code"]
                    if outcome.unexpected and closure and outcome.meta["over"] != [_VALID]:
                        orphaned.add(code)
                    elif outcome.unexpected:
                        failed[code] += outcome.unexpected
    if orphaned:
        raise IpsError(f"Rows that would be loaded break {', '.join(sorted(orphaned))}: the cascade is incomplete, so nothing was accepted")
    own = _compare(connection, failed, submissions)
    not_evaluated = {**rules.not_evaluated, **{rule.code: _STRUCTURE for rule in rules.file if rule.kind == "structure"}}
    seconds = (perf_counter() - started) / max(submissions, 1)
    name = f"Great Expectations {gx_duckdb.VERSION}"
    return [
        GateResult(_verdict(rules, codes), rules.edition, name, _results(ran, number, codes), codes, rules.levels, not_evaluated, seconds)
        for number, codes in enumerate(own, 1)
    ]


def _results(ran: Sequence[tuple[Table, str, Mapping[int, int], Sequence[Mapping[str, Any]]]], number: int, codes: Mapping[str, int]) -> list[Result]:
    """What ran over the rows of one submission. Its counts are those of the findings, which add up to what Great Expectations counted."""
    return [
        Result(
            table=table.name,
            over=_ROLES[over],
            code=item["meta"]["code"],
            element=item["meta"]["element"],
            expectation=item["type"],
            looked_at=held[number],
            # The second look, at the rows left, finds nothing, or the run has stopped.
            rows=codes.get(item["meta"]["code"], 0) if over == item["meta"]["over"][0] else 0,
        )
        for table, over, held, expectations in ran
        if number in held
        for item in expectations
    ]


def _verdict(rules: RuleSet, codes: Mapping[str, int]) -> str:
    levels = {rules.levels[code] for code in codes}
    return "rejected" if "file" in levels else "accepted with rejections" if levels & REJECTING else "accepted"


def _rules(table: Table, standard: Standard) -> Iterator[Rule]:
    """The rules of a table: about the file, then of each field, then of the table."""
    yield from (rule for rule in standard.file_rules if rule.table == table.id)
    for field in table.fields:
        yield from field.rules
    yield from table.rules


def _undecidable(rule: Rule) -> str | None:
    if rule.kind == "structure":
        return _STRUCTURE
    if rule.kind in INERT_KINDS:
        return "the portal has a message but no rule for this code"
    if rule.kind == "in_list" and rule.arguments["list"] == "unpublished":
        return "the code list is not public"
    if rule.kind in _ONE_ELEMENT and rule.element is None:
        return "the table has no such element in this version"
    return None


def _severity(level: Level) -> str:
    return "critical" if level in REJECTING else "warning"


def _expectation(rule: Rule, held: Judged) -> tuple[dict[str, Any], str, list[str]]:
    """The expectation of a rule, its sentence, and the relations it runs over."""
    if rule.kind in FILE_KINDS:
        return _file_expectation(rule, held)
    kind = KINDS[rule.kind]
    expectation = kind.expectation(rule, held)
    if moment := earlier_relation(rule, held.standard):
        now, then = moment
        query = expectation["kwargs"]["unexpected_rows_query"]
        expectation["kwargs"]["unexpected_rows_query"] = query.replace(identifier(now), identifier(then))
    return expectation, kind.sentence(rule), [_JUDGED, _VALID] if rule.kind == "parent_exists" else [_JUDGED]


def _file_expectation(rule: Rule, held: Judged) -> tuple[dict[str, Any], str, list[str]]:
    """A rule about the file, as a question about each upload."""
    table = held.table
    valid = f"SELECT submission FROM {identifier(table.name + ' valid')}"
    if rule.kind == "table_empty":
        some = " OR ".join(f"{identifier(element)} IS NOT NULL" for element in table.elements)
        bad = f"judged.submission NOT IN (SELECT submission FROM {identifier(table.name)} WHERE {some})"
        sentence = f"{rule.table} must have a row that is not blank, or the whole file is rejected."
    elif rule.kind == "nothing_left":
        bad = f"judged.submission IN (SELECT submission FROM {identifier(table.name)}) AND judged.submission NOT IN ({valid})"
        sentence = f"A row of {rule.table} must be left, or the whole file is rejected."
    elif rule.kind == "header_invalid":
        kept = f"SELECT submission, row FROM {identifier(table.name + ' valid')}"
        bad = f"judged.submission IN (SELECT submission FROM (SELECT submission, row FROM {identifier(table.name + ' judged')} EXCEPT {kept}))"
        sentence = "The header must not be rejected, or the whole file is."
    else:
        because = [other for other in _rules(table, held.standard) if other.code in rule.arguments["because"]]
        breach = " OR ".join(KINDS[other.kind].bad(other, held) for other in because)
        bad = f"judged.submission IN (SELECT judged.submission FROM {identifier(table.name + ' judged')} AS judged WHERE {breach})"
        sentence = "The header must be of the period chosen at upload, or the whole file is rejected."
    return unexpected_rows(bad), sentence, [_UPLOADS]


def earlier_relation(rule: Rule, standard: Standard) -> tuple[str, str] | None:
    """For a rule whose table of reference loses more rows after the rule has run: that relation's name now, and as it was then."""
    if rule.kind == "gp_continuity":
        name = standard.table(rule.table).name
    elif rule.kind == "parent_exists":
        parent = standard.table(rule.arguments["parent"])
        later = _later(rule, standard)
        if not any(other.code in later for other in _rules(parent, standard)):
            return None
        name = parent.name
    else:
        return None
    return f"{name} valid", f"{name} before {rule.code}"


def _later(rule: Rule, standard: Standard) -> frozenset[str]:
    """The codes decided at the same time as the rule or later."""
    order = standard.referential_order
    if rule.kind == "gp_continuity":
        return frozenset({rule.code, *order})
    return frozenset(order[order.index(rule.code) :])


@contextmanager
def moments(connection: Connection, rules: RuleSet) -> Iterator[None]:
    """Views of the rows that were still valid when a rule ran, for the rules that need them; gone when the gate is done."""
    rejecting = {code for code, level in rules.levels.items() if level in REJECTING}
    views = []
    for rule in (*rules.continuity, *rules.referential):
        if moment := earlier_relation(rule, rules.standard):
            now, then = moment
            name = now.removesuffix(" valid")
            codes = ", ".join(text_literal(code) for code in sorted(rejecting - _later(rule, rules.standard)))
            connection.execute(
                f"CREATE VIEW {identifier(then)} AS SELECT * FROM {identifier(name + ' judged')} AS judged WHERE NOT EXISTS ("
                f"SELECT 1 FROM findings AS gone WHERE gone.submission = judged.submission AND gone.row = judged.row"
                f" AND gone.table_name = {text_literal(name)} AND gone.code IN ({codes}))"
            )
            views.append(then)
    try:
        yield
    finally:
        for view in views:
            connection.execute(f"DROP VIEW {identifier(view)}")


def _due(rules: RuleSet, table: Table, filled: bool) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """What to run for a table: the role of the rows, the query that gives them, and the expectations of the edition in force.

    A table that nobody submitted is only asked about as part of the file.
    """
    # Of the rows left only the keys are looked at; the rest would be copied for nothing.
    keys = {"submission": None, "row": None} | {rule.arguments["key"]: None for rule in table.rules if rule.kind == "parent_exists"}
    relations = {
        _UPLOADS: "FROM portal",
        _JUDGED: f"FROM {identifier(table.name + ' judged')}",
        _VALID: f"SELECT {', '.join(identifier(key) for key in keys)} FROM {identifier(table.name + ' valid')}",
    }
    expectations = suite(table, rules.standard)["expectations"]
    for over in relations if filled else (_UPLOADS,):
        if due := [_in_force(item, rules) for item in expectations if _applies(item, over, rules)]:
            yield over, relations[over], due


def _applies(item: Mapping[str, Any], over: str, rules: RuleSet) -> bool:
    """Whether an expectation is run over the relation; a second look, at the rows left, is only for rules that reject."""
    meta = item["meta"]
    level = meta["level"].get(rules.edition)
    if level is None or over not in meta["over"] or meta["code"] in rules.not_evaluated:
        return False
    return over == meta["over"][0] or level in REJECTING


def _in_force(item: Mapping[str, Any], rules: RuleSet) -> dict[str, Any]:
    """The expectation as Great Expectations takes it, with the severity of the edition in force."""
    return {**item, "severity": _severity(item["meta"]["level"][rules.edition])}


def _compare(connection: Connection, failed: Mapping[str, int], submissions: int) -> list[dict[str, int]]:
    """Hold the gate and the findings equal, code for code and row for row; gives the counts of each submission."""
    own: list[dict[str, int]] = [{} for _ in range(submissions)]
    for number, code, rows in connection.execute("SELECT submission, code, count(*) FROM findings GROUP BY ALL ORDER BY ALL").fetchall():
        own[number - 1][code] = int(rows)
    found: dict[str, int] = defaultdict(int)
    for codes in own:
        for code, rows in codes.items():
            found[code] += rows
    differing = sorted(code for code in {*found, *failed} if found.get(code, 0) != failed.get(code, 0))
    if differing:
        raise IpsError(
            f"The gate and the findings disagree on {', '.join(differing)}, a fault of the software; nothing was accepted, please report it"
        )
    return own


def main(arguments: Sequence[str]) -> int:
    """``python -m ips_pipeline.quality.gate --write``: write the suites into ``expectations/suites`` of the checkout."""
    if list(arguments) != ["--write"]:
        sys.stderr.write("usage: python -m ips_pipeline.quality.gate --write\n")
        return 2
    write_suites(load(), Path(__file__).resolve().parents[2] / "expectations" / "suites")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
