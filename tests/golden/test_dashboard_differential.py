"""The dashboard's counts in SQL against a plain-Python reading of the same rules, on random small worlds."""

from __future__ import annotations

import importlib.util
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ips_pipeline.measures import computation
from ips_pipeline.store import folders


def differential() -> ModuleType:
    """The random worlds of MHS116."""
    spec = importlib.util.spec_from_file_location("random_worlds", Path(__file__).with_name("test_mhs116_differential.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLAIN = differential()
COUNTS = (
    "AllReferrals",
    "NewReferrals",
    "ClosedReferrals",
    "OpenReferrals",
    "Caseload",
    "AccessedFirstTimeEver",
    "AccessedInFinancialYear",
    "TotalContacts",
    "ClosedReferralsWhoAccessed",
)
DIRECT = ("01", "02", "04", "11")
SUCCESSORS = {"ZZZ": "CCC"}


def coded(procedure: str | None) -> bool:
    """The dashboard takes the code exactly as it stands before the first colon, blanks after it aside, and looks at no qualifier."""
    return procedure is not None and procedure.split(":")[0].rstrip(" ") in ("772822000", "1082621000000104")


def financial_year(month: str) -> int:
    return int(month[:4]) - (int(month[5:]) < 4)


def registrations(world: Any) -> Mapping[tuple[str, str], list[str | None]]:
    """Per person and month the sub-ICBs of the open registrations on the deciding record; none where nobody sent one."""
    order = sorted(world.rows, key=lambda key: (key[1], world.rows[key]["MHS000Header"][0]["DateTimeDatSetCreate"], key[0]))
    found: dict[tuple[str, str], list[str | None]] = {}
    for provider, month in order:
        tables = world.rows[provider, month]
        for person in tables["MHS001MPI"]:
            open_now = [
                PLAIN.PRACTICES.get(gp["GMPReg"])
                for gp in tables["MHS002GP"]
                if gp["LocalPatientID"] == person["LocalPatientID"]
                and gp["EndDateGMPRegistration"] is None
                and gp["GMPReg"] not in (None, "V81997", "V81998", "V81999")
            ]
            if open_now:
                # Later files and later rows have the higher numbers.
                found[person["NHSNumber"] or provider + person["LocalPatientID"], month] = open_now
    return found


def rows_of(world: Any) -> list[dict[str, Any]]:
    """The monthly referrals of the dashboard: when, whose, how often each counts, and its direct contacts of the month."""
    places = registrations(world)
    found = []
    for (provider, month), tables in world.rows.items():
        for referral in tables["MHS101Referral"]:
            person = next(row for row in tables["MHS001MPI"] if row["LocalPatientID"] == referral["LocalPatientID"])
            _, authority, home = PLAIN.HOMES[person["Postcode"]]
            if (referral["ReferralRequestReceivedDate"] or "") < "2016-01-01" or not (authority is None or authority.startswith("E")):
                continue
            request = referral["ServiceRequestID"]
            teams = [
                referral["CareProfTeamLocalID"],
                *(row["OtherCareProfTeamLocalID"] for row in tables["MHS102OtherServiceType"] if row["ServiceRequestID"] == request),
            ]
            attended = [
                contact
                for contact in tables["MHS201CareContact"]
                if contact["ServiceRequestID"] == request and contact["AttendStatus"] in ("5", "6") and contact["ConsMechanismMH"] in DIRECT
            ]
            by_procedure = [
                contact
                for contact in attended
                if any(coded(row["Procedure"]) for row in tables["MHS202CareActivity"] if row["CareContactID"] == contact["CareContactID"])
            ]
            by_team = bool({"IPS", "IPS2"} & set(teams))
            if not by_team and not by_procedure:
                continue
            identity = person["NHSNumber"] or provider + person["LocalPatientID"]
            open_now = places.get((identity, month), [None])
            sub_icbs = {SUCCESSORS.get(code or home, code or home) for code in open_now}
            contacts = attended if by_team else by_procedure
            found.append(
                {
                    "month": month,
                    "who": (identity, provider + request),
                    "received": referral["ReferralRequestReceivedDate"],
                    "discharged": referral["ServDischDate"],
                    "rows": len(sub_icbs) * len(teams) * len(open_now),
                    "sub_icbs": len(sub_icbs),
                    "dates": sorted(contact["CareContDate"] for contact in contacts),
                }
            )
    return found


def plain_counts(world: Any) -> Mapping[tuple[str, str], int]:
    """(month, count) -> amount, of what is not nothing."""
    referrals = rows_of(world)
    seen: dict[Any, list[str]] = defaultdict(list)
    for item in referrals:
        seen[item["who"]].extend(item["dates"])
    found: Counter[tuple[str, str]] = Counter()
    for item in referrals:
        month, dates, discharged = item["month"], item["dates"], item["discharged"]
        first_day, last_day = f"{month}-01", PLAIN.end_of(month).isoformat()
        access = min(seen[item["who"]], default=None)
        of_year = [date for date in seen[item["who"]] if financial_year(date[:7]) == financial_year(month)]
        true = {
            "AllReferrals": 1,
            "NewReferrals": first_day <= item["received"] <= last_day,
            "ClosedReferrals": discharged is not None and first_day <= discharged <= last_day,
            "OpenReferrals": discharged is None or discharged > last_day,
            "Caseload": discharged is None and access is not None and access <= last_day,
            "AccessedFirstTimeEver": bool(dates) and dates[0] == access,
            "AccessedInFinancialYear": bool(dates) and dates[0] == min(of_year),
            "TotalContacts": len(dates) * item["sub_icbs"],
            "ClosedReferralsWhoAccessed": discharged is not None and access is not None,
        }
        for name, amount in true.items():
            found[month, name] += int(amount) * item["rows"]
    return {key: amount for key, amount in found.items() if amount}


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(months=st.lists(PLAIN.person_month, min_size=5, max_size=30))
def test_sql_equals_the_plain_reading(months: list[dict[str, Any]], new_world: Callable[[], Any]) -> None:
    world = new_world()
    PLAIN.build(world, months)
    declared = computation.variables("2026-08", "Performance")
    made = (*computation.DERIVE, *computation.DASHBOARD)
    with tempfile.TemporaryDirectory() as folder:
        world.write(Path(folder))
        with computation.opened(folders.discover(Path(folder) / "submissions"), Path(folder) / "reference", declared) as inputs:
            inputs.make(*made)
            rows = inputs.connection.sql(
                "SELECT strftime(ReportingPeriodEndDate, '%Y-%m'), quantity, amount FROM dashboard_quantity"
                " WHERE breakdown = 'dashboard_england' AND amount <> 0"
            ).fetchall()
    assert {(month, name): int(amount) for month, name, amount in rows if name in COUNTS} == plain_counts(world)
