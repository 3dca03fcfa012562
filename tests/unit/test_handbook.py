"""The pages of the measures, and the lineage behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ips_pipeline.errors import UsageError
from ips_pipeline.measures import explain, handbook, lineage, registry
from ips_pipeline.mhsds import standard

HOME = Path(__file__).resolve().parents[2]
KNOWN = {measure.id: measure for measure in registry.load().measures}


def read(measure_id: str) -> set[str]:
    """The elements a measure reads, as table id and element."""
    return {f"{table[:6]}.{element}" for table, element in lineage.elements(lineage.fields(KNOWN[measure_id]))}


def test_the_handbook_is_what_the_registry_and_the_sql_say() -> None:
    assert (HOME / "docs" / "measures.md").read_text(encoding="utf-8") == handbook.document(), "run: make generated"
    for known in (standard.load(), standard.load(standard.LOCAL)):
        held = (standard.folder(known.version) / handbook.MEASURE_FIELDS).read_text(encoding="utf-8")
        assert held == handbook.measure_fields(known), "run: make generated"


@pytest.mark.parametrize("measure_id", KNOWN)
def test_every_measure_reads_something_and_has_a_page(measure_id: str) -> None:
    assert lineage.elements(lineage.fields(KNOWN[measure_id]))
    page = handbook.page(measure_id)
    assert page.startswith(f"{measure_id}  ")
    for heading in ("Kind: ", "Source: ", "SQL: ", "Divided by", "Elements it reads"):
        assert heading in page


def test_what_decides_mhs116() -> None:
    """Attendance, mechanism, date, team, procedure and residence; neither age nor GP practice, which only place a referral."""
    assert {"MHS201.AttendStatus", "MHS201.ConsMechanismMH", "MHS202.Procedure", "MHS902.ServTeamTypeMH", "MHS001.Postcode"} <= read("MHS116")
    assert not read("MHS116") & {"MHS001.PersonBirthDate", "MHS001.EthnicCategory", "MHS002.GMPReg", "MHS101.ServDischDate", "MHS004.EmployStatus"}
    by_age = lineage.fields_of_breakdown(KNOWN["MHS116"], "age_band")
    assert lineage.elements(by_age) == [("MHS001MPI", "PersonBirthDate")]
    assert ("gp_practices.csv", "GMPReg") in lineage.reference_columns(lineage.fields_of_breakdown(KNOWN["MHS116"], "sub_icb"))


@pytest.mark.parametrize(
    ("measure_id", "reads", "leaves"),
    [
        ("NewReferrals", "MHS101.ReferralRequestReceivedDate", "MHS101.ServDischDate"),
        ("ClosedReferrals", "MHS101.ServDischDate", "MHS004.EmployStatus"),
        ("SeenIn7", "MHS201.CareContDate", "MHS101.ServDischDate"),
        ("EmployedAtReferral", "MHS004.EmployStatusRecDate", "MHS004.WeekHoursWorked"),
        ("EmployedAtDischarge30Hours", "MHS004.WeekHoursWorked", "MHS004.EmployStatusStartDate"),
        ("AgeCatMissing", "MHS001.PersonBirthDate", "MHS001.EthnicCategory"),
        ("GenderCatMissing", "MHS001.GenderIDCode", "MHS001.PersonBirthDate"),
    ],
)
def test_what_decides_a_measure_of_the_dashboard(measure_id: str, reads: str, leaves: str) -> None:
    assert reads in read(measure_id)
    assert leaves not in read(measure_id)


def test_rows_multiply_by_what_the_dashboard_joins() -> None:
    """The published code counts a referral once per open GP registration, so every measure of the dashboard depends on them."""
    assert {"MHS002.GMPReg", "MHS002.EndDateGMPRegistration"} <= read("NewReferrals")


def test_a_page_names_rules_checks_and_cases() -> None:
    page = handbook.page("mhs116")
    assert "MHS201CareContact.CareContDate: " in page
    assert "MHS20167 R" in page
    assert "MHS20120 w" in page
    assert "IPS-001 " in page
    assert "sql/measures/mhs116_cases.yaml" in page


def test_an_unknown_measure_is_wrong_usage_and_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean MHS116"):
        handbook.page("MHS117")
    with pytest.raises(UsageError, match="ips measures list"):
        explain.find_measure("nothing like it")


def test_the_keys_that_lineage_trusts_are_stated() -> None:
    """A left join decides no rows only where a header states the key of what is joined; these are the ones that carry the dashboard."""
    for step, key in (("dashboard_activity", "ServiceRequestID"), ("dashboard_access", "UniqServReqID"), ("dashboard_employment", "patient_row")):
        held = lineage._step(step).key
        assert held is not None
        assert key in held
