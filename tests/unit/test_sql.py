"""The SQL files keep their form: one SELECT, a header with grain and keys, declared variables, no bare codes, nothing that changes by itself."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from ips_pipeline.measures import computation, difference, explain, reference, registry
from ips_pipeline.publish import dataset
from ips_pipeline.quality import checks
from ips_pipeline.store import completeness, steps
from ips_pipeline.submission import reconcile

FILES = sorted(path for path in steps.root().rglob("*.sql"))
STEPS = (
    *computation.DERIVE,
    *computation.RECORDS,
    *computation.MHS116,
    *computation.DASHBOARD,
    *computation.EPISODES,
    *computation.FAMILIES,
    *computation.PLACEMENTS,
    *computation.OUTCOMES,
    *computation.RESULTS,
    *computation.PUBLICATIONS,
    *computation.CELLS,
    *computation.DISCLOSE,
    completeness.STEP,
    *explain.UNIT_STEPS.values(),
    *explain.OTHER_STEPS,
    *explain.STEPS,
    *difference.STEPS,
    *reconcile.REPORT_STEPS,
    *reconcile.PUBLISHED_STEPS,
    *dataset.STEPS,
)
CHECKS = (*checks.SHARED, *(check.step for check in checks.registry().checks))
DECLARED = {*computation.variables("2026-08", "Performance"), *checks.registry().thresholds}


def body(path: Path) -> str:
    """The statement without its comments."""
    return re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))


def step_of(path: Path) -> str:
    return path.relative_to(steps.root()).with_suffix("").as_posix()


def test_every_file_is_a_step_and_every_step_a_file() -> None:
    assert sorted((*STEPS, *CHECKS)) == [step_of(path) for path in FILES]
    for steps_of_one_run in (STEPS, (*checks.DERIVE, *CHECKS)):
        names = {step.rpartition("/")[2] for step in steps_of_one_run}
        assert len(names) == len(steps_of_one_run), "two steps make a table of one name"


@pytest.mark.parametrize("path", FILES, ids=step_of)
def test_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("-- ")
    assert re.search(r"^-- Grain: .+ Keys: .+\.$", text, re.MULTILINE), "no line with grain and keys"
    assert ";" not in re.sub(r"'[^']*'", "", body(path)), "more than one statement"
    assert not re.search(r"\b(now|random|today|uuid|gen_random_uuid)\s*\(|\b(current_date|current_timestamp)\b", body(path)), "not repeatable"
    assert not re.search(r"\{\{|\{%|\$\w", text), "templating"
    assert max(map(len, text.splitlines())) <= 150


@pytest.mark.parametrize("path", FILES, ids=step_of)
def test_variables_are_declared(path: Path) -> None:
    assert steps.variables(path.read_text(encoding="utf-8")) <= DECLARED


def test_no_variable_is_declared_in_vain() -> None:
    used = frozenset[str]().union(*(steps.variables(path.read_text(encoding="utf-8")) for path in FILES))
    assert used == DECLARED


def test_no_code_of_the_standard_is_bare() -> None:
    """Codes stand in groups.csv and levels.csv with their meaning, never in SQL or Python."""
    codes = {row["code"] for name in ("groups", "levels") for row in csv.DictReader((reference.STANDARD / f"{name}.csv").open(encoding="utf-8"))}
    python = sorted(Path(computation.__file__).parent.glob("*.py"))
    for path in (*FILES, *python):
        literals = set(re.findall(r"['\"]([^'\"\n]*)['\"]", body(path)))
        # A single letter or digit may be a separator or a number of the language itself.
        assert not {literal for literal in literals & codes if len(literal) > 1}, path.name


def test_dashboard_measures_are_columns_of_the_dashboard_rows() -> None:
    columns = set(re.findall(r" AS (\w+)", (steps.root() / "measures" / "dashboard_row.sql").read_text(encoding="utf-8")))
    dashboard = [measure for measure in registry.load().measures if measure.family == "dashboard"]
    assert len(dashboard) == 54
    for measure in dashboard:
        assert {measure.numerator, measure.denominator or measure.numerator} <= columns, measure.id


def test_registry_explains_every_measure() -> None:
    for measure in registry.load().measures:
        assert measure.title
        assert measure.definition.endswith(".")
        assert measure.unit
        assert measure.source
        assert set(measure.breakdowns) <= set(registry.load().breakdowns)


def test_every_family_has_its_sql_and_every_measure_its_columns() -> None:
    """A numerator or denominator that no evidence gives would be nought or NULL without a word."""
    known = registry.load()
    assert len({measure.id for measure in known.measures}) == len(known.measures), "two measures of one id"
    evidence = " ".join(body(path) for path in FILES if step_of(path).startswith(("measures/", "quality/")))
    for measure in known.measures:
        if measure.family in ("mhs116", "dashboard"):
            continue
        assert (steps.root() / "measures" / f"{measure.family}.sql").is_file(), measure.family
        for column in filter(None, (measure.numerator, measure.denominator)):
            # A column for 24 months may be named after the one for 12.
            assert re.search(rf"\b{re.sub(r'_[0-9]+$', '', column)}", evidence), f"{measure.id}: {column}"


def test_comparisons_are_asked_for_where_there_is_something_to_compare() -> None:
    for measure in registry.load().measures:
        assert not measure.fair or measure.kind in ("proportion", "rate"), measure.id


def test_an_undeclared_variable_is_an_error() -> None:
    with pytest.raises(LookupError, match="undeclared"):
        steps.run(None, ["publish/mhsds_raw"], {})  # type: ignore[arg-type]
