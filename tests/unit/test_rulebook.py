"""The pages of the rules, their examples, and the coverage of every official code."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from ips_pipeline.errors import UsageError
from ips_pipeline.measures.computation import ELEMENTS
from ips_pipeline.mhsds import standard as mhsds
from ips_pipeline.mhsds.formats import MACROS
from ips_pipeline.mhsds.standard import Rule, Standard, load
from ips_pipeline.quality import rulebook
from ips_pipeline.quality.kinds import KINDS, Judged
from ips_pipeline.store.duck import Connection, identifier, session, text_literal

#: Every code of the published rules and of the ETOS rule list, taken from those lists and not from the standard's own data.
OFFICIAL = frozenset((Path(__file__).parent / "official_codes.txt").read_text(encoding="ascii").split())

STANDARD = load()
LOCAL = load(mhsds.LOCAL)
RULES = {rule.code: rule for rule in STANDARD.rules()}


def test_every_official_code_is_covered_once() -> None:
    covered = Counter(line.code for line in rulebook.coverage())
    assert covered.keys() == OFFICIAL
    assert set(covered.values()) == {1}
    assert len(OFFICIAL) == 1157


def test_what_is_not_evaluated_says_what_is_missing() -> None:
    states = {line.code: line for line in rulebook.coverage()}
    open_codes = {code for code, line in states.items() if line.status in ("not evaluated", "not applicable")}
    assert open_codes == {"MHSREJ001", "MHS01408", "MHS01422", "MHS01423", "MHS20154", "MHS90320", "MHS90321"}
    assert {code for code, line in states.items() if line.status == "derived"} == {"MHSREJ012", "MHSREJ015", "MHSREJ101"}
    assert all(states[code].note for code in open_codes)
    assert states["MHS20149"].note == "where organisations.csv is in the reference folder"


def test_every_rule_has_a_page() -> None:
    for code in sorted(OFFICIAL):
        page = rulebook.page(code)
        assert page.startswith(f"{code}  ")
        for heading in ("Table: ", "Severity, published", "Severity, ETOS", "Kind: ", "Status: ", "How to fix it at source"):
            assert heading in page, (code, heading)
        assert "{" not in page.replace("braces", ""), code
        assert page == page.rstrip()


def test_every_rule_of_local_records_has_a_page_and_is_listed() -> None:
    for rule in LOCAL.rules():
        page = rulebook.page(rule.code.lower())
        assert page.startswith(f"{rule.code}  ")
        for heading in ("Table: ips_", "Severity: ", "Kind: ", "Status: evaluated", "How to fix it at source", "What it endangers"):
            assert heading in page or (heading == "What it endangers" and not rulebook.endangers(LOCAL, rule)), (rule.code, heading)
        assert "Severity, " not in page and "{" not in page
    assert [row[0] for row in rulebook.records_catalogue()] == [rule.code for rule in LOCAL.rules()]
    assert ("IPSR-291", "ips_job", "", "group", "There must be a valid ips_episode row with the same episode_id.") in rulebook.records_catalogue()


def test_what_local_records_endanger() -> None:
    rules = {rule.code: rule for rule in LOCAL.rules()}
    assert rulebook.endangers(LOCAL, rules["IPSR-121"]) == [
        "Measures that read it: IPS35.",
        "A rejected row takes with it what the measures read from ips_episode, ips_job, ips_job_week, ips_employer_contact.",
    ]
    # A purpose of contact is read by no measure; who writes too much loses the contact all the same.
    assert rulebook.endangers(LOCAL, rules["IPSR-408"]) == ["A rejected row takes with it what the measures read from ips_employer_contact."]
    assert rulebook.endangers(LOCAL, rules["IPSR-407"]) == ["Measures that read it: IPS56."]
    assert rulebook.described("IPSR-407")["levels"] == {"local": "warning"}


def test_a_page_in_full() -> None:
    assert rulebook.page("mhs10128").splitlines() == [
        "MHS10128  ServDischDate must not be before ReferralRequestReceivedDate.",
        "",
        "Table: MHS101Referral (Service or Team Referral)",
        "Element: ServDischDate (Service discharge date), M101090",
        "Severity, published rules (January 2024): Record rejected: the row is not loaded, nor are the rows that depend on it",
        "Severity, ETOS 6.0 (March 2024): Record rejected: the row is not loaded, nor are the rows that depend on it",
        "Kind: not before",
        "Status: evaluated",
        "",
        "How to fix it at source",
        "  Compare ServDischDate with ReferralRequestReceivedDate in the source system and correct the one that was",
        "  mistyped.",
        "",
        "What it endangers",
        "  ServDischDate: closed and open referrals; length of referral; employment at discharge",
        "  ReferralRequestReceivedDate: new referrals; open referrals; length of referral; days to the first contact",
        "  Measures that read it: ClosedReferrals, OpenReferrals, Caseload, LengthOfReferral0To90,",
        "  LengthOfReferral91To180, LengthOfReferralOver180, TimeInCaseload0To90, TimeInCaseload91To180 and others.",
        "  A rejected row takes with it what the measures read from MHS001MPI, MHS002GP, MHS004EmpStatus,",
        "  MHS101Referral, MHS102OtherServiceType, MHS201CareContact, MHS202CareActivity, MHS501HospProvSpell.",
        "",
        "Good values",
        '  ServDischDate "2025-09-10", ReferralRequestReceivedDate "2025-09-10"',
        '  ServDischDate "2025-09-11", ReferralRequestReceivedDate "2025-09-10"',
        '  ServDischDate blank, ReferralRequestReceivedDate "2025-09-10"',
        '  ServDischDate "2025-09-09", ReferralRequestReceivedDate blank',
        "",
        "Bad values",
        '  ServDischDate "2025-09-09", ReferralRequestReceivedDate "2025-09-10"',
    ]


def test_a_rule_that_differs_between_the_editions_says_so() -> None:
    page = rulebook.page("MHS20228")
    assert "Severity, published rules (January 2024): Record rejected" in page
    assert "Severity, ETOS 6.0 (March 2024): Warning" in page
    assert "Severity, published rules (January 2024): not in this edition" in rulebook.page("MHS00171")


def test_an_unknown_code_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="ips rules list"):
        rulebook.page("MHS99999")


def test_the_catalogue_lists_every_code_in_order() -> None:
    rows = rulebook.catalogue()
    assert [row[0] for row in rows] == sorted(OFFICIAL)
    assert ("MHS10128", "MHS101Referral", "ServDischDate", "record", "ServDischDate must not be before ReferralRequestReceivedDate.") in rows
    assert {row[3] for row in rows if row[0] == "MHS00171"} == {"(record)"}


def test_what_is_endangered_is_what_the_measures_read() -> None:
    with (Path(mhsds.__file__).parent / "v6" / "ips_elements.csv").open(encoding="utf-8", newline="") as handle:
        written = [(row["table"], row["element"]) for row in csv.DictReader(handle)]
    assert sorted(written) == sorted((table, element) for table, elements in ELEMENTS.items() for element in elements)


def test_a_rule_far_from_the_measures_endangers_nothing() -> None:
    assert rulebook.endangers(STANDARD, RULES["MHS60414"]) == []
    assert "What it endangers" not in rulebook.page("MHS60414")


def test_a_rule_of_the_header_endangers_the_whole_month() -> None:
    assert rulebook.endangers(STANDARD, RULES["MHS00016"])[-1] == "Every measure of the month: a rejected header rejects the file."
    assert rulebook.endangers(STANDARD, RULES["MHS00033"]) == []


@pytest.fixture(scope="module")
def connection() -> Connection:
    with session() as held:
        for macro in MACROS:
            held.execute(macro)
        yield held


@pytest.mark.parametrize("table", [*sorted(STANDARD.tables), *sorted(LOCAL.tables)])
def test_every_example_is_judged_as_the_page_says(connection: Connection, table: str) -> None:
    """Each example is put into a row of the rule's table (and of its parent, where the rule looks there) and judged."""
    standard = LOCAL if table in LOCAL.tables else STANDARD
    rules = [rule for rule in standard.rules() if rule.table == table and rulebook.examples(standard, rule)]
    wrong = [
        (rule.code, example)
        for rule in rules
        for example in rulebook.examples(standard, rule)
        if _is_bad(connection, standard, rule, example.row) is example.passes
    ]
    assert wrong == []
    assert rules or not [rule for rule in standard.rules() if rule.table == table]


def _is_bad(connection: Connection, standard: Standard, rule: Rule, row: dict[str, str | None]) -> bool:
    table = standard.table(rule.table)
    own = {element: row.get(element) for element in table.elements}
    shared = {f"@{name.removeprefix('MHS000.')}": value for name, value in row.items() if name.startswith("MHS000.")}
    columns = ", ".join(f"{_value(value)} AS {identifier(name)}" for name, value in {**own, **shared}.items())
    sources = [f"judged AS (SELECT 1 AS submission, {columns})"]
    for name, value in row.items():
        parent, _, element = name.partition(".")
        if element and parent not in ("MHS000", table.id):
            link = next(field.element for field in table.fields if field.parent and field.parent.startswith(parent))
            held = f"SELECT 1 AS submission, {_value(value)} AS {identifier(element)}, 'K1' AS {identifier(link)}"
            sources.append(f"{identifier(standard.table(parent).name)} AS ({held})")
            sources[0] = sources[0].replace(f"CAST(NULL AS VARCHAR) AS {identifier(link)}", f"'K1' AS {identifier(link)}")
    predicate = KINDS[rule.kind].bad(rule, Judged(standard, table))
    found = connection.execute(f"WITH {', '.join(sources)} SELECT {predicate} FROM judged").fetchone()
    assert found is not None
    assert found[0] is not None, rule.code
    return bool(found[0])


def _value(value: str | None) -> str:
    return "CAST(NULL AS VARCHAR)" if value is None else text_literal(value)


def test_most_rules_have_examples() -> None:
    """Rules without any are decided by other rows or by look-up lists, or by what the portal knows."""
    without = {rule.kind for rule in RULES.values() if not rulebook.examples(STANDARD, rule)}
    assert without == {
        *("assessment_score", "assessment_tool", "organisation", "school", "postcode_known", "not_after_upload", "equals_portal"),
        *("unique", "unique_when_blank", "single_row", "gp_continuity", "parent_exists", "reject_all"),
        *("structure", "table_empty", "period_mismatch", "header_invalid", "nothing_left", "message_only", "in_list", "length"),
    }
    plain = {rule.code for rule in RULES.values() if rule.kind in ("in_list", "length") and not rulebook.examples(STANDARD, rule)}
    assert plain == {"MHS01422", "MHS01423", "MHS20154", "MHS90320", "MHS90321"}
