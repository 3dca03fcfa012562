"""The gate: its suites, its verdicts, what it does when it and the findings differ, and that it holds no value."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb_engine
import great_expectations
import pytest
from great_expectations.expectations import expectation

from ips_pipeline.errors import IpsError
from ips_pipeline.mhsds.standard import load
from ips_pipeline.quality import findings, gate
from ips_pipeline.quality.findings import Portal, RuleSet
from ips_pipeline.quality.gate import GateResult
from ips_pipeline.quality.validate import validate
from ips_pipeline.store.duck import Connection, session

STANDARD = load()
ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "conformance" / "case-small" / "submissions"
CANARY = "999CANARY1"

HEADER = "OrgIDProvider,ReportingPeriodStartDate,ReportingPeriodEndDate\nRXZ,2025-09-01,2025-09-30\n"


def judged(connection: Connection, folders: list[Path], portal: Portal | None = None) -> RuleSet:
    lists = findings.load(connection, folders, [portal or Portal()] * len(folders), ROOT / "none", STANDARD)
    rules = findings.rule_set(STANDARD, "published", lists)
    findings.judge(connection, rules, len(folders))
    return rules


def run(folder: Path) -> GateResult:
    with session(read=[folder]) as connection:
        (result,) = gate.run(connection, judged(connection, [folder]))
        return result


def submission(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in {"MHS000Header": HEADER, **files}.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def test_suites_are_what_the_standard_gives() -> None:
    folder = ROOT / "expectations" / "suites"
    assert {path.stem for path in folder.iterdir()} == {table.name for table in STANDARD.tables.values()}
    for table in STANDARD.tables.values():
        written = (folder / f"{table.name}.json").read_text(encoding="utf-8")
        assert written == gate.suite_text(gate.suite(table, STANDARD)), f"{table.name}: python -m ips_pipeline.quality.gate --write"
        assert json.loads(written) == gate.suite(table, STANDARD)


def test_every_code_is_an_expectation_or_says_why_not() -> None:
    placed: Counter[str] = Counter()
    for table in STANDARD.tables.values():
        suite = gate.suite(table, STANDARD)
        placed.update(item["meta"]["code"] for item in suite["expectations"])
        placed.update(list(suite["meta"]["without_expectation"]))
    assert placed == Counter(rule.code for rule in STANDARD.rules())


def test_rules_that_look_at_rows_a_later_rule_removes_are_known() -> None:
    earlier = {rule.code for rule in STANDARD.rules() if gate.earlier_relation(rule, STANDARD)}
    assert earlier == {"MHS00145", "MHS00146", "MHS50558", "MHS00223"}


@pytest.mark.parametrize("provider", ["RXA", "RXB"])
def test_gate_and_findings_agree_on_a_dirty_month(provider: str) -> None:
    result = run(CASES / provider / "2026-07")
    assert result.verdict in {"rejected", "accepted with rejections"}
    assert result.expectations > 250
    assert len(result.failed) > 5


def test_submissions_judged_together_get_the_verdicts_they_get_alone(tmp_path: Path) -> None:
    folders = [CASES / "RXA" / "2026-07", CASES / "RXB" / "2026-07", submission(tmp_path / "bare"), submission(tmp_path / "twin")]
    with session(read=folders) as connection:
        together = gate.run(connection, judged(connection, folders), len(folders))
    for folder, result in zip(folders, together, strict=True):
        alone = run(folder)
        assert (result.verdict, result.failed) == (alone.verdict, alone.failed), folder.name
    # No person, registration or referral: MHSREJ003, 004 and 005.
    assert {"MHSREJ003", "MHSREJ004", "MHSREJ005"} <= set(together[2].failed)


def test_empty_submission_is_rejected(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run(empty)
    assert result.verdict == "rejected"
    assert set(result.failed) == {"MHSREJ002", "MHSREJ003", "MHSREJ004", "MHSREJ005"}


def test_a_difference_from_the_findings_stops_the_run_and_names_codes_only() -> None:
    folder = CASES / "RXA" / "2026-07"
    with session(read=[folder]) as connection:
        rules = judged(connection, [folder])
        connection.execute("DELETE FROM findings WHERE code = 'MHS00162' AND row = (SELECT min(row) FROM findings WHERE code = 'MHS00162')")
        with pytest.raises(IpsError, match="disagree on MHS00162, a fault") as caught:
            gate.run(connection, rules)
    assert caught.value.__cause__ is None


def test_a_row_left_that_breaks_a_referential_rule_stops_the_run() -> None:
    folder = CASES / "RXA" / "2026-07"
    with session(read=[folder]) as connection:
        rules = judged(connection, [folder])
        connection.execute("DELETE FROM rejected WHERE table_name = 'MHS202CareActivity'")
        with pytest.raises(IpsError, match="the cascade is incomplete"):
            gate.run(connection, rules)


def test_no_value_is_fetched_kept_or_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, caplog: Any) -> None:

    fetched: list[Any] = []

    class Spy(duckdb_engine.CursorWrapper):
        def __getattr__(self, name: str) -> Any:
            found = super().__getattr__(name)
            if not name.startswith("fetch"):
                return found

            def fetch(*arguments: int) -> Any:
                fetched.append(found(*arguments))
                return fetched[-1]

            return fetch

    monkeypatch.setattr(duckdb_engine, "CursorWrapper", Spy)
    row = f"LocalPatientID,NHSNumber,PersonBirthDate,Gender\n{CANARY},{CANARY},{CANARY},{CANARY}\n"
    folder = submission(tmp_path / "canary", MHS001MPI=row + row.splitlines()[1] + "\n")
    with caplog.at_level(logging.DEBUG):
        result = run(folder)
    result.write_json(tmp_path / "gate.json")
    assert result.verdict == "rejected"
    assert "MHSREJ102" in result.failed
    assert (tmp_path / "gate.json").stat().st_mode & 0o777 == 0o600
    printed = capfd.readouterr()
    for text in (repr(fetched), repr(result), (tmp_path / "gate.json").read_text(), printed.out, printed.err):
        assert CANARY not in text
    assert fetched


def test_an_expectation_that_cannot_run_is_named_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CASES / "RXA" / "2026-07"
    whole = gate.suite

    def broken(*arguments: Any) -> dict[str, Any]:
        suite = whole(*arguments)
        for item in suite["expectations"]:
            if item["meta"]["code"] == "MHS00162":
                item.update(type="unexpected_rows_expectation", kwargs={"unexpected_rows_query": "SELECT nothing FROM {batch}"})
        return suite

    monkeypatch.setattr(gate, "suite", broken)
    with session(read=[folder]) as connection:
        rules = judged(connection, [folder])
        with pytest.raises(IpsError, match="could not evaluate MHS00162; run"):
            gate.run(connection, rules)


def test_another_release_of_great_expectations_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from ips_pipeline.quality import gx_duckdb

    monkeypatch.setattr(great_expectations, "__version__", "1.25.0")
    with pytest.raises(IpsError, match=r"needs great-expectations 1\.24\.1 and found 1\.25\.0"):
        gx_duckdb.check_release()


def test_a_name_that_went_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    from ips_pipeline.quality import gx_duckdb

    monkeypatch.delattr(expectation, "_format_map_output")
    with pytest.raises(IpsError, match=r"lacks .*_format_map_output"):
        gx_duckdb.check_release()


def test_great_expectations_is_itself_again_afterwards(tmp_path: Path) -> None:
    from ips_pipeline.quality import gx_duckdb

    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in gx_duckdb._replacements()]
    run(submission(tmp_path / "one"))
    assert [(owner, name, owner.__dict__[name]) for owner, name, _ in gx_duckdb._replacements()] == before


def test_validate_records_the_gate_only_when_asked(tmp_path: Path) -> None:
    folder, outs = CASES / "RXA" / "2026-07", [tmp_path / "plain", tmp_path / "gated"]
    for out, wanted in zip(outs, (False, True), strict=True):
        (verdict,) = validate([folder], tmp_path / "none", [out], [Portal()], gate=wanted)
        assert (out / "gate.json").is_file() is wanted
        assert verdict.gate == ("rejected" if wanted else None)
    content = json.loads((outs[1] / "gate.json").read_text(encoding="utf-8"))
    assert content["verdict"] == verdict.facts()["gate"] == "rejected"
    assert set(content["failed"][0]) == {"code", "level", "rows"}
