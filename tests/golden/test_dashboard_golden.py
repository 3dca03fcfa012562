"""The dashboard's habits, one small world each: how rows multiply, what counts as access, and what the discharge measures ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.measures import registry

MONTH = "2026-08"


class Story:
    """One person's referral at one provider, told month by month."""

    def __init__(self, world: Any, provider: str = "RAA", patient: str = "P1") -> None:
        self.world, self.provider, self.patient, self.referral = world, provider, patient, f"R{patient}"

    def month(self, month: str = MONTH, **told: Any) -> Story:
        """A month of the referral; what is not told is ordinary: one IPS team, one practice in BBB, no contact, still open."""
        self.world.submission(self.provider, month)
        person = {
            "LocalPatientID": self.patient,
            "NHSNumber": told.get("nhs_number"),
            "PersonBirthDate": told.get("born", "1994-05-05"),
            "Postcode": told.get("home", "AA1 1AA"),
            "Gender": told.get("gender", "1"),
            "GenderIDCode": told.get("identity"),
            "EthnicCategory": told.get("ethnicity", "A"),
        }
        self.add(month, "MHS001MPI", person)
        for practice in told.get("gp", ["B00001"]):
            self.add(month, "MHS002GP", {"LocalPatientID": self.patient, "GMPReg": practice, "EndDateGMPRegistration": None})
        request = {
            "ServiceRequestID": self.referral,
            "LocalPatientID": self.patient,
            "ReferralRequestReceivedDate": told.get("received", "2026-01-10"),
            "SourceOfReferralMH": told.get("source", "A1"),
            "ServDischDate": told.get("discharged"),
            "CareProfTeamLocalID": told.get("team", "IPS"),
        }
        self.add(month, "MHS101Referral", request)
        for team in told.get("other_teams", []):
            self.add(month, "MHS102OtherServiceType", {"ServiceRequestID": self.referral, "OtherCareProfTeamLocalID": team})
        for number, contact in enumerate(told.get("contacts", [])):
            day, mechanism, procedure = (*contact, None, None)[:3]
            identity = f"{self.referral}-{month}-{0 if told.get('same_contact') else number}"
            row = {
                "CareContactID": identity,
                "ServiceRequestID": self.referral,
                "CareContDate": f"{month}-{day:02d}" if day else None,
                "ConsMechanismMH": mechanism or "01",
                "AttendStatus": "5",
                # Rows of one contact differ in what no measure reads.
                "PlannedCareContIndicator": str(number) if told.get("same_contact") else None,
            }
            self.add(month, "MHS201CareContact", row)
            if procedure:
                self.add(month, "MHS202CareActivity", {"CareActID": identity, "CareContactID": identity, "Procedure": procedure})
        for recorded, status, hours, start in told.get("employment", []):
            row = {
                "LocalPatientID": self.patient,
                "EmployStatus": status,
                "EmployStatusRecDate": recorded,
                "WeekHoursWorked": hours,
                "EmployStatusStartDate": start,
            }
            self.add(month, "MHS004EmpStatus", row)
        return self

    def add(self, month: str, table: str, row: dict[str, str | None]) -> None:
        self.world.add(self.provider, month, table, row)


@pytest.fixture
def told(publish: Callable[..., Any], world: Any, tmp_path: Path) -> Callable[..., Any]:
    """Tell a story about one person, and measure it."""

    def told(*months: dict[str, Any], provider: str = "RAA") -> Any:
        story = Story(world, provider)
        for month in months:
            story.month(**month)
        return publish(world, tmp_path)

    return told


@pytest.mark.parametrize(
    ("teams", "practices", "rows", "contacts"),
    [
        ([], ["B00001"], 1, 1),
        (["CMHT"], ["B00001"], 2, 2),
        (["CMHT", "CRHT"], ["B00001"], 3, 3),
        ([], ["B00001", "C00001"], 4, 8),
        (["CMHT"], ["B00001", "C00001"], 8, 16),
        ([], ["C00001", "Z00001"], 2, 2),
        ([], [], 1, 1),
    ],
    ids=["one team", "two teams", "three teams", "two sub-ICBs", "both", "a closed sub-ICB and its successor are one", "no practice"],
)
def test_rows_multiply(told: Callable[..., Any], teams: list[str], practices: list[str], rows: int, contacts: int) -> None:
    """Sub-ICBs times teams times practices; a contact is multiplied by the sub-ICBs once more. MHS116 counts one referral."""
    result = told({"other_teams": teams, "gp": practices, "contacts": [(10,)]})
    assert result.measure("OpenReferrals", MONTH) == (str(rows), "")
    assert result.measure("TotalContacts", MONTH) == (str(contacts), "")
    assert result.returned["mhs116"] == 1


def test_each_team_of_a_referral_has_a_row(told: Callable[..., Any]) -> None:
    result = told({"other_teams": ["CMHT"]})
    assert result.measure("OpenReferrals", MONTH, "Provider; Team", "RAA|IPS") == ("1", "")
    assert result.measure("OpenReferrals", MONTH, "Provider; Team", "RAA|CMHT") == ("1", "")
    assert result.measure("OpenReferrals", MONTH, "Provider", "RAA") == ("2", "")


def test_a_closed_sub_icb_counts_under_its_successor(told: Callable[..., Any]) -> None:
    result = told({"gp": ["Z00001"], "contacts": [(10,)]})
    assert result.measure("Caseload", MONTH, "SubICB", "CCC") == ("1", "1")
    assert result.raw["MHS116", "Sub ICB of GP Practice or Residence", "UNKNOWN"] == "1.0"


@pytest.mark.parametrize(("home", "level"), [("NO1 1IC", "Missing / Invalid"), ("XX1 1XX", "Missing / Invalid")])
def test_nowhere_is_missing(told: Callable[..., Any], home: str, level: str) -> None:
    result = told({"gp": [], "home": home})
    for breakdown in ("SubICB", "ICB", "Region"):
        assert result.measure("OpenReferrals", MONTH, breakdown, level) == ("1", "")


@pytest.mark.parametrize(
    ("procedure", "seen"),
    [
        ("772822000", True),
        ("772822000 ", True),
        (" 772822000", False),
        ("772822000\n", False),
        ("772822000:408730004=443390004", True),
        ("772822000:408730004=1082621000000104", True),
        ("1082611000000105", False),
    ],
    ids=["plain", "blank after", "blank before", "line break", "refused", "long qualifier", "referral to IPS"],
)
def test_procedures_are_read_exactly_and_without_their_qualifier(told: Callable[..., Any], procedure: str, seen: bool) -> None:
    result = told({"team": "CMHT", "contacts": [(10, "01", procedure)]})
    assert result.measure("AccessedFirstTimeEver", MONTH) == (("1", "") if seen else ("", ""))


def test_online_services_have_no_exception(told: Callable[..., Any]) -> None:
    result = told({"contacts": [(10, "13")]}, provider="DFC")
    assert result.returned["mhs116"] == 1
    assert result.measure("TotalContacts", MONTH) == ("", "")


def test_first_access_looks_at_all_months_and_at_each_financial_year(told: Callable[..., Any]) -> None:
    result = told(
        {"month": "2025-03", "received": "2025-03-01", "contacts": [(10,)]},
        {"month": "2026-07", "received": "2025-03-01", "contacts": [(10,)]},
        {"month": "2026-08", "received": "2025-03-01", "contacts": [(10,)]},
    )
    first = {month: result.measure("AccessedFirstTimeEver", month)[0] for month in ("2025-03", "2026-07", "2026-08")}
    in_year = {month: result.measure("AccessedInFinancialYear", month)[0] for month in ("2025-03", "2026-07", "2026-08")}
    assert first == {"2025-03": "1", "2026-07": "", "2026-08": ""}
    assert in_year == {"2025-03": "1", "2026-07": "1", "2026-08": ""}
    assert result.measure("SeenIn8To30", "2025-03") == ("1", "1")


def test_a_person_whose_identity_changes_has_several_first_contacts(told: Callable[..., Any]) -> None:
    result = told(
        {"month": "2026-07", "nhs_number": "9990000018", "contacts": [(10,)]},
        {"month": "2026-08", "nhs_number": "9990000026", "contacts": [(10,)]},
    )
    assert [result.measure("AccessedFirstTimeEver", month)[0] for month in ("2026-07", "2026-08")] == ["1", "1"]
    assert result.returned["mhs116"] == 1


def test_a_contact_before_receipt_is_seen_within_seven_days(told: Callable[..., Any]) -> None:
    result = told({"received": "2026-08-20", "contacts": [(10,)]})
    assert result.measure("SeenIn7", MONTH) == ("1", "1")
    assert result.measure("NewReferrals", MONTH) == ("1", "")


def test_a_discharge_after_the_month_leaves_the_caseload_but_not_the_open_referrals(told: Callable[..., Any]) -> None:
    result = told({"discharged": "2026-09-02", "contacts": [(10,)], "employment": [("2026-08-01", "01", "02", "2026-07-01")]})
    assert result.measure("OpenReferrals", MONTH) == ("1", "")
    assert result.measure("Caseload", MONTH) == ("0", "1")
    assert result.measure("ClosedReferrals", MONTH) == ("", "")
    assert result.measure("EmployedAtDischarge", MONTH) == ("1", "0")
    assert result.measure("EmployedAtDischarge16to29Hours", MONTH) == ("1", "1")
    assert result.measure("EmployedAtDischargeSeenFor0To90", MONTH) == ("1", "1")
    assert result.measure("EmployedAtDischargeSeen1To5Times", MONTH) == ("1", "1")
    assert result.measure("LengthOfReferralOver180", MONTH) == ("1", "0")


def test_not_yet_accessed_counts_closed_referrals_without_a_contact_this_month(told: Callable[..., Any]) -> None:
    result = told({"month": "2026-07", "contacts": [(10,)]}, {"month": "2026-08", "discharged": "2026-08-20"})
    assert result.measure("NotYetAccessedInFinancialYear", "2026-08") == ("1", "0")
    assert result.measure("TimeInCaseload0To90", "2026-08") == ("1", "1")


def test_the_first_and_last_status_of_the_month_go_by_the_date_recorded(told: Callable[..., Any]) -> None:
    result = told(
        {
            "received": "2026-08-01",
            "discharged": "2026-08-30",
            "employment": [("2026-08-20", "01", "98", None), (None, "02", None, None), ("2026-08-02", "08", None, None)],
        }
    )
    assert result.measure("NotEmployedAtReferral", MONTH) == ("1", "1")
    assert result.measure("EmployedAtDischarge", MONTH) == ("1", "1")
    assert result.measure("EmployedAtDischargeHoursMissing", MONTH) == ("1", "1")
    assert result.measure("WeekHoursWorkedNotMissing", MONTH) == ("1", "1")
    assert result.measure("EmployStatusStartDateLastMissing", MONTH) == ("1", "1")
    assert result.measure("EmployedAtDischargeNeverSeen", MONTH) == ("1", "1")


def test_a_status_not_sent_again_is_unknown(told: Callable[..., Any]) -> None:
    result = told({"month": "2026-07", "employment": [("2026-07-01", "01", "01", None)]}, {"month": "2026-08", "discharged": "2026-08-30"})
    assert result.measure("UnknownEmployedAtDischarge", "2026-08") == ("1", "1")
    assert result.measure("EmployStatusMissing", "2026-08") == ("1", "1")


@pytest.mark.parametrize(
    ("breakdown", "row", "level"),
    [
        ("Gender", {"gender": "9"}, "Missing/Invalid"),
        ("Gender", {"gender": "2", "identity": "X"}, "Missing/Invalid"),
        ("Gender", {"gender": "2", "identity": "4"}, "Other"),
        ("Ethnicity", {"ethnicity": "Z"}, "Missing/Invalid"),
        ("Ethnicity", {"ethnicity": "99"}, "Not known"),
        ("Source", {"source": "Q2"}, "Secondary Mental Health Care"),
        ("Source", {"source": "N3"}, "Other"),
        ("Source", {"source": None}, "Missing/Invalid"),
        ("Age", {"born": "2009-08-11", "received": "2025-08-11"}, "16to25"),
        ("Age", {"born": "2009-08-12", "received": "2025-08-11"}, "Other"),
        ("Age", {"born": None}, "Missing/Invalid"),
        ("Deprivation", {"home": "AA1 1ZZ"}, "Quintile 5"),
        ("Deprivation", {"home": "AA9 9AA"}, "Missing/Invalid"),
    ],
)
def test_categories(told: Callable[..., Any], breakdown: str, row: dict[str, Any], level: str) -> None:
    assert told(row).measure("OpenReferrals", MONTH, breakdown, level) == ("1", "")


def test_a_provider_named_for_the_team_route_only_is_counted_twice(publish: Callable[..., Any], world: Any, tmp_path: Path) -> None:
    """K0N5K has a name of its own when an IPS team finds the referral, so one found by procedure too is two rows."""
    Story(world, "K0N5K").month(contacts=[(10, "01", "772822000")])
    result = publish(world, tmp_path)
    assert result.measure("OpenReferrals", MONTH) == ("2", "")
    assert result.measure("TotalContacts", MONTH) == ("2", "")


ONE_OF_ONE = (1, 1)
#: A story of one referral -> what the published measure and the corrected one make of it: value and denominator.
SIDE_BY_SIDE: list[tuple[str, list[dict[str, Any]], dict[str, tuple[tuple[int, int | None], tuple[int, int | None]]]]] = [
    (
        "two teams and two practices",
        [{"other_teams": ["CMHT"], "gp": ["B00001", "C00001"], "contacts": [(10,)]}],
        {
            "OpenReferrals": ((8, None), (1, None)),
            "Caseload": ((8, 8), (1, 1)),
            "TotalContacts": ((16, None), (1, None)),
            "TotalContactsF2F": ((16, 16), (1, 1)),
            "AccessedInFinancialYear": ((8, None), (1, None)),
            "SourceCatNotMissing": ((8, 8), (1, 1)),
        },
    ),
    (
        "discharged after the month",
        [
            {
                "discharged": "2026-09-02",
                "contacts": [(10,)],
                "employment": [("2026-08-01", "01", "02", "2026-07-01")],
            }
        ],
        {
            "Caseload": ((0, 1), (1, 1)),
            "EmployedAtDischarge": ((1, 0), (0, 0)),
            "EmployedAtDischarge16to29Hours": ((1, 1), (0, 0)),
            "LengthOfReferralOver180": ((1, 0), (0, 0)),
            "TimeInCaseload0To90": ((1, 1), (0, 0)),
            "EmployedAtDischargeSeen1To5Times": ((1, 1), (0, 0)),
            "EmployedAtDischargeSeenFor0To90": ((1, 1), (0, 0)),
        },
    ),
    (
        "open, and not seen this year",
        [{"month": "2026-03", "contacts": [(10,)]}, {}],
        {"NotYetAccessedInFinancialYear": ((0, 1), (1, 1)), "Caseload": ((1, 1), (1, 1))},
    ),
    (
        "open, seen this year but not this month",
        [{"month": "2026-04", "contacts": [(10,)]}, {}],
        {"NotYetAccessedInFinancialYear": ((0, 1), (0, 1))},
    ),
    (
        "discharged without a contact this month",
        [{"month": "2026-07", "contacts": [(10,)]}, {"discharged": "2026-08-20"}],
        {"NotYetAccessedInFinancialYear": ((1, 0), (0, 0)), "TimeInCaseload0To90": (ONE_OF_ONE, ONE_OF_ONE)},
    ),
    (
        "seen before receipt",
        [{"received": "2026-08-20", "contacts": [(10,)]}],
        {"SeenIn7": ((1, 1), (0, 1)), "SeenBeforeReceipt": ((0, None), (1, 1))},
    ),
    (
        "seen the day before receipt",
        [{"received": "2026-08-11", "contacts": [(10,)]}],
        {"SeenIn7": ((1, 1), (0, 1)), "SeenBeforeReceipt": ((0, None), (1, 1))},
    ),
    (
        "seen on the day of receipt",
        [{"received": "2026-08-10", "contacts": [(10,)]}],
        {"SeenIn7": (ONE_OF_ONE, ONE_OF_ONE), "SeenBeforeReceipt": ((0, None), (0, 1))},
    ),
    (
        "discharged after the month, 115 days after the first contact",
        [{"month": "2026-05", "contacts": [(10,)]}, {"discharged": "2026-09-02", "employment": [("2026-08-01", "01", "01", None)]}],
        {"TimeInCaseload91To180": ((1, 1), (0, 0)), "EmployedAtDischargeSeenFor91To180": ((1, 1), (0, 0))},
    ),
    (
        "discharged after the month, 235 days after the first contact",
        [{"month": "2026-01", "contacts": [(10,)]}, {"discharged": "2026-09-02", "employment": [("2026-08-01", "01", "01", None)]}],
        {"TimeInCaseloadOver180": ((1, 1), (0, 0)), "EmployedAtDischargeSeenForOver180": ((1, 1), (0, 0))},
    ),
    (
        "a status outside the code list, neither new nor discharged",
        [{"employment": [("2026-08-01", "UU", None, None)]}],
        {"InvalidEmployedAtReferral": ((0, None), (0, 0)), "InvalidEmployedAtDischarge": ((0, None), (0, 0))},
    ),
    (
        "discharged before receipt and before the first contact",
        [{"received": "2026-08-20", "discharged": "2026-08-05", "contacts": [(10,)], "employment": [("2026-08-01", "01", "01", None)]}],
        {
            "LengthOfReferral0To90": ((0, 1), (0, 1)),
            "LengthOfReferralNegative": ((0, None), (1, 1)),
            "TimeInCaseloadNegative": ((0, None), (1, 1)),
            "EmployedAtDischargeSeenForNegative": ((0, None), (1, 1)),
        },
    ),
    (
        "a status outside the code list",
        [{"received": "2026-08-01", "discharged": "2026-08-30", "employment": [("2026-08-01", "UU", None, None)]}],
        {
            "EmployStatusNotMissing": ((1, 1), (0, 1)),
            "EmployStatusInvalid": ((0, None), (1, 1)),
            "InvalidEmployedAtReferral": ((0, None), (1, 1)),
            "InvalidEmployedAtDischarge": ((0, None), (1, 1)),
        },
    ),
    (
        "hours that do not apply to somebody employed",
        [{"discharged": "2026-08-30", "employment": [("2026-08-01", "01", "98", None)]}],
        {
            "WeekHoursWorkedNotMissing": ((1, 1), (0, 1)),
            "WeekHoursWorkedMissing": ((0, 1), (1, 1)),
            "EmployedAtDischargeHoursMissing": ((1, 1), (1, 1)),
        },
    ),
    (
        "a person whose identity changes",
        [
            {"month": "2026-07", "nhs_number": "9990000018", "contacts": [(10,)]},
            {"nhs_number": "9990000026", "contacts": [(10,)], "discharged": "2026-08-30", "employment": [("2026-08-01", "01", "01", None)]},
        ],
        {
            "AccessedFirstTimeEver": ((1, None), (0, None)),
            "AccessedInFinancialYear": ((1, None), (0, None)),
            "EmployedAtDischargeSeen1To5Times": ((1, 1), (1, 1)),
        },
    ),
    (
        "never seen",
        [{"discharged": "2026-08-30", "employment": [("2026-08-01", "01", "03", "2026-01-01")]}],
        {
            "EmployedAtDischargeNeverSeen": ((1, 1), (1, 1)),
            "EmployedAtDischargeSeen0Times": ((1, 1), (1, 1)),
            "EmployedAtDischarge15OrLess": ((1, 1), (1, 1)),
            "EmployStatusStartDateLastNotMissing": ((1, 1), (1, 1)),
        },
    ),
]


@pytest.fixture(scope="module")
def both(access_evidence: Callable[..., Any], new_world: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every story at a provider of its own: the rows the dashboard adds up, and the evidence of the corrected one."""
    world = new_world()
    for number, (_, months, _) in enumerate(SIDE_BY_SIDE):
        story = Story(world, f"S{number:02d}")
        for month in months:
            story.month(**month)
    return access_evidence(world, tmp_path_factory.mktemp("both"), "dashboard_row", "dashboard_corrected")


@pytest.mark.parametrize("number", range(len(SIDE_BY_SIDE)), ids=lambda number: SIDE_BY_SIDE[number][0])
def test_published_and_corrected_side_by_side(both: Any, number: int) -> None:
    measures = {measure.id: measure for measure in registry.load().measures}
    rows = [row for row in both["dashboard_row"] if row["OrgIDProv"] == f"S{number:02d}" and str(row["ReportingPeriodEndDate"])[:7] == MONTH]
    evidence = [row for row in both["dashboard_corrected"] if row["by_provider"] == f"S{number:02d}" and str(row["period_end"])[:7] == MONTH]

    def published(name: str) -> tuple[int, int | None]:
        measure = measures[name]
        return sum(row[measure.numerator] for row in rows), None if measure.denominator is None else sum(row[measure.denominator] for row in rows)

    def corrected(name: str) -> tuple[int, int | None]:
        measure = measures[f"DASH_{name}"]
        return max(row[measure.numerator] for row in evidence), None if measure.denominator is None else max(
            row[measure.denominator] for row in evidence
        )

    expected = SIDE_BY_SIDE[number][2]
    assert {name: corrected(name) for name in expected} == {name: right for name, (_, right) in expected.items()}
    assert {name: published(name) for name in expected if name in measures} == {
        name: wrong for name, (wrong, _) in expected.items() if name in measures
    }


def test_every_published_measure_has_a_corrected_one() -> None:
    known = registry.load().measures
    assert {measure.corrects for measure in known if measure.corrects} == {measure.id for measure in known if measure.family == "dashboard"}
    assert all(measure.id == f"DASH_{measure.corrects}" for measure in known if measure.corrects)


def test_the_corrected_parts_add_up(both: Any) -> None:
    parts = {
        "closed_referrals": [
            "length_of_referral_negative",
            "length_of_referral_0_to_90",
            "length_of_referral_91_to_180",
            "length_of_referral_over_180",
        ],
        "closed_referrals ": ["employed_at_discharge", "not_employed_at_discharge", "unknown_employed_at_discharge", "invalid_employed_at_discharge"],
        "accessed_first_time_ever": ["seen_before_receipt", "seen_in_7", "seen_in_8_to_30", "seen_in_over_30"],
        "new_referrals": ["employed_at_referral", "not_employed_at_referral", "unknown_employed_at_referral", "invalid_employed_at_referral"],
        "all_referrals": ["employ_status_missing", "employ_status_not_missing", "employ_status_invalid"],
        "total_contacts": ["total_contacts_f2f", "total_contacts_telephone", "total_contacts_video", "total_contacts_other"],
    }
    for row in both["dashboard_corrected"]:
        for whole, names in parts.items():
            assert row[f"n_dash_{whole.strip()}"] == sum(row[f"n_dash_{name}"] for name in names), (whole, row["unit"])
