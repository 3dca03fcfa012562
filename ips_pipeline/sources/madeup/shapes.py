"""One made-up trust in the six shapes of examples/mappings: the same people and records, kept with the habits of six kinds of system.

Each shape is a look-alike with names of its own, and no vendor's schema. What stands in it is written here from the records of the
trust; examples/mappings/<shape> reads it back, and a test compares what lands. The same seed gives the same content.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.sources.madeup import reference
from ips_pipeline.sources.madeup.people import History, Record, bounds, history, month, months, variety
from ips_pipeline.store.duck import identifier

#: The seed of the made-up trust: one of few that have something for every table in every month that is compared.
SEED = 20261025

_Rows = list[dict[str, Any]]
#: What stands in each column of a local table: an element of the record, or what a function makes of the record.
_Columns = Mapping[str, str | Callable[[Record], Any]]

_LONDON = ZoneInfo("Europe/London")

#: The people merged in the shape that merges: one in so many.
_MERGED = 9


def trust(seed: int = SEED) -> History:
    """The made-up trust's whole history, with a few contacts in the night added to it."""
    about = variety(_words()["scenario"])
    held = history(about, 0, reference.places(about), Random(f"{seed}/shapes"), None)
    contacts = held.records["contacts"]
    like = next(record for record in contacts if record["CareContactID"] and record["deleted"] == "0" and record["AttendStatus"])
    open_long = next(record for record in held.records["referrals"] if record["ReferralRequestReceivedDate"] == f"{about.content['first_month']}-01")
    contacts += [
        {**like, "CareContactID": f"NIGHT{number}", "ServiceRequestID": open_long["ServiceRequestID"], "CareContDate": day, "CareContTime": at}
        | {"OtherCareProfTeamLocalID": None}
        for number, (day, at) in enumerate(_words()["night_contacts"])
    ]
    return held


def write_site(example: Path, folder: Path, seed: int = SEED) -> Path:
    """Write a site that holds the made-up trust in the shape of an example, with the example's mapping; gives the path of its SITE.toml.

    ``example`` is a folder of examples/mappings; ``folder`` must be empty or absent. Raises UsageError where it is not, and InputError
    for the Access shape where nothing here writes Access files.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; give a new one for the made-up site")
    about = variety(_words()["scenario"])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    reference.write(folder / "reference", about, reference.places(about), Random(f"{seed}/reference"))
    shutil.copytree(example, folder / "mapping", ignore=shutil.ignore_patterns("README.md"))
    (folder / "source").mkdir(mode=0o700)
    write(example, folder / "source", trust(seed), Random(f"{seed}/{example.name}"))
    database = (folder / "source" / _DATABASE).is_file()
    held = about.trusts[0]
    lines = [
        f'name = "{held.name}"',
        'data = "data"',
        'reference = "reference"',
        'notice = "Everything here is made up: people, trust, places and populations."',
        "",
        "[sources.trust]",
        *(['kind = "sql"', f'url = "sqlite:///source/{_DATABASE}"'] if database else ['kind = "files"', 'folder = "source"']),
        "",
        "[[providers]]",
        f'code = "{held.code}"',
        f'name = "{held.name}"',
        'source = "trust"',
        'mapping = "mapping/mapping.yaml"',
    ]
    file = folder / "SITE.toml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def periods() -> tuple[str, ...]:
    """The months the made-up trust has data for."""
    return tuple(months(variety(_words()["scenario"])))


def write(example: Path, folder: Path, held: History, rng: Random) -> None:
    """Write the trust's records into ``folder`` in the shape of an example; its definitions are beside its mapping."""
    records = copy.deepcopy(dict(held.records))
    _SHAPES[example.name](example, folder, History(held.trust, records), rng)


_DATABASE = "trust.sqlite"


def _reporting_database(example: Path, folder: Path, held: History, rng: Random) -> None:
    """Soft deletes, merged clients, look-up tables with history, and an alias table that doubles clients when it is joined."""
    records = held.records
    merges, ids = _merge(records, rng)

    def client(record: Record) -> Any:
        return rng.choice(ids[record["LocalPatientID"]])

    def looked_up(domain: str, element: str) -> Callable[[Record], Any]:
        return lambda record: _lookup_code(domain, record[element], record["CareContDate"])

    local = _reverse(example)
    tables = {
        "rep_client": [
            {**row, "client_no": number}
            for row in _rows(
                records["people"],
                {"client_no": "LocalPatientID", "nhs_number": "NHSNumber", "nhs_number_state": "NHSNumberStatus", "family_name": "surname",
                 "given_name": "forename", "date_of_birth": "PersonBirthDate", "sex": _code("Gender", local["sex"]),
                 "gender_identity": "GenderIDCode",
                 "ethnic_group": "EthnicCategory", "first_language": "LanguageCodePreferred", "marital_state": "MaritalStatus",
                 "school": "OrgIDEduEstab", "date_of_death": "PersDeathDate"},
            )
            for number in ids[row["client_no"]]
        ],
        "rep_client_merge": merges,
        "rep_client_alias": [
            {"client_no": record["LocalPatientID"], "alias": f"{record['forename']} {word}"}
            for record in records["people"]
            for word in rng.sample(["the younger", "the elder", "of the valley"], rng.choice((0, 1, 1, 2, 3)))
        ],
        "rep_address": _rows(records["addresses"], {"client_no": client, "from_date": "since", "postcode": "Postcode"}),
        "rep_practice": _rows(
            records["registrations"],
            {"client_no": client, "practice_code": "GMPReg", "from_date": "StartDateGMPRegistration", "to_date": "EndDateGMPRegistration"},
        ),
        "rep_accommodation": _rows(
            records["accommodation"],
            {"client_no": client, "kind": "AccommodationType", "settled": "SettledAccommodationInd", "recorded_on": "AccommodationTypeDate"},
        ),
        "rep_employment": _rows(
            records["employment"],
            {"client_no": client, "status": _code("EmployStatus", local["employment"]), "recorded_on": "EmployStatusRecDate",
             "weekly_hours": "WeekHoursWorked", "started_on": "EmployStatusStartDate", "ended_on": "EmployStatusEndDate"},
        ),
        "rep_referral": _rows(
            records["referrals"],
            {"referral_no": "ServiceRequestID", "client_no": client, "commissioner": "OrgIDComm", "team_code": "CareProfTeamLocalID",
             "received_on": "ReferralRequestReceivedDate", "received_at": "ReferralRequestReceivedTime", "source": "SourceOfReferralMH",
             "referring_organisation": "OrgIDReferringOrg", "urgency": _code("ClinRespPriorityType", local["urgency"]),
             "reason": "PrimReasonReferralMH",
             "discharged_on": "ServDischDate", "discharge_reason": "ReferClosReason", "rejected_on": "ReferRejectionDate",
             "rejection_reason": "ReferRejectReason", "is_deleted": _flag},
        ),
        "rep_referral_team": _rows(
            records["other_teams"],
            {"referral_no": "ServiceRequestID", "team_code": "OtherCareProfTeamLocalID", "joined_on": "since", "left_on": "ReferClosureDate",
             "leaving_reason": "ReferClosReason"},
        ),
        "rep_diary": _rows(
            records["contacts"],
            {"entry_no": "CareContactID", "referral_no": "ServiceRequestID", "team_code": "OtherCareProfTeamLocalID", "entry_date": "CareContDate",
             "entry_time": "CareContTime", "minutes": "ClinContDurOfCareCont", "first_or_follow_up": "ConsType",
             "medium": looked_up("MEDIUM", "ConsMechanismMH"), "place": "ActLocTypeCode", "outcome": looked_up("OUTCOME", "AttendStatus"),
             "note": "note", "is_deleted": _flag},
        ),
        "rep_lookup": [
            {"domain": domain, "local_code": code, "national_code": national, "valid_from": since, "valid_to": until}
            for domain, held_codes in _words()["lookups"].items()
            for when, since, until in (("before", "2000-01-01", _day_before(_words()["lookup_changes"])), ("after", _words()["lookup_changes"], None))
            for code, national in held_codes[when].items()
        ],
        **_common(
            records,
            {"activities": "rep_intervention", "indirect": "rep_other_work", "spells": "rep_admission", "wards": "rep_ward_stay",
             "staff": "rep_staff",
             "teams": "rep_team"},
        ),
    }  # fmt: skip
    _sqlite(example, folder, tables)


def _unit_record(example: Path, folder: Path, held: History, rng: Random) -> None:
    """Timestamps in UTC, contacts in two tables, blank strings for what is missing, codes in words, NHS numbers with blanks."""
    records, local, here = held.records, _reverse(example), _words()["in_person"]
    contact: dict[str, str | Callable[[Record], Any]] = {
        "event_id": "CareContactID", "pathway_id": "ServiceRequestID", "unit_id": "OtherCareProfTeamLocalID",
        "started_utc": lambda record: _utc(record["CareContDate"], record["CareContTime"]), "minutes": "ClinContDurOfCareCont",
        "visit_kind": "ConsType", "place": "ActLocTypeCode", "result": _code("AttendStatus", local["result"]), "comment": "note",
        "removed": lambda record: "Y" if record["deleted"] == "1" else "N",
    }  # fmt: skip
    tables = {
        "patient": _rows(
            records["people"],
            {"patient_id": "LocalPatientID", "nhs_number": _spaced, "trace": "NHSNumberStatus", "surname": "surname", "first_name": "forename",
             "born": "PersonBirthDate", "sex": _code("Gender", local["sex"]), "identity": _code("GenderIDCode", local["identity"]),
             "ethnicity": "EthnicCategory", "language": "LanguageCodePreferred", "marital": "MaritalStatus", "school": "OrgIDEduEstab",
             "died": "PersDeathDate"},
        ),
        "patient_address": _rows(records["addresses"], {"patient_id": "LocalPatientID", "since": "since", "postcode": "Postcode"}),
        "patient_surgery": _rows(
            records["registrations"],
            {"patient_id": "LocalPatientID", "surgery": "GMPReg", "joined": "StartDateGMPRegistration", "departed": "EndDateGMPRegistration"},
        ),
        "lodging": _rows(
            records["accommodation"],
            {"patient_id": "LocalPatientID", "kind": "AccommodationType", "settled": "SettledAccommodationInd", "noted": "AccommodationTypeDate"},
        ),
        "occupation": _rows(
            records["employment"],
            {"patient_id": "LocalPatientID", "status": _code("EmployStatus", local["work"]), "noted": "EmployStatusRecDate",
             "hours": _code("WeekHoursWorked", local["hours"]), "since": "EmployStatusStartDate", "until": "EmployStatusEndDate"},
        ),
        "pathway": _rows(
            records["referrals"],
            {"pathway_id": "ServiceRequestID", "patient_id": "LocalPatientID", "commissioner": "OrgIDComm", "unit_id": "CareProfTeamLocalID",
             "received_utc": lambda record: _utc(record["ReferralRequestReceivedDate"], record["ReferralRequestReceivedTime"]),
             "referred_by": "SourceOfReferralMH", "referrer": "OrgIDReferringOrg", "urgency": "ClinRespPriorityType",
             "reason": "PrimReasonReferralMH",
             "ended": "ServDischDate", "ended_because": "ReferClosReason", "declined": "ReferRejectionDate", "declined_because": "ReferRejectReason",
             "removed": lambda record: "Y" if record["deleted"] == "1" else "N"},
        ),
        "pathway_unit": _rows(
            records["other_teams"],
            {"pathway_id": "ServiceRequestID", "unit_id": "OtherCareProfTeamLocalID", "joined": "since", "departed": "ReferClosureDate",
             "departed_because": "ReferClosReason"},
        ),
        "visit": _rows((record for record in records["contacts"] if record["ConsMechanismMH"] == here), contact),
        "remote_event": _rows(
            (record for record in records["contacts"] if record["ConsMechanismMH"] != here),
            {**contact, "channel": _code("ConsMechanismMH", local["channel"])},
        ),
        "desk_work": _rows(
            records["indirect"],
            {"pathway_id": "ServiceRequestID", "unit_id": "OtherCareProfTeamLocalID", "clinician_id": "CareProfLocalID",
             "done_utc": lambda record: _utc(record["IndirectActDate"], record["IndirectActTime"]), "minutes": "DurationIndirectAct",
             "snomed": "IndActProcedure"},
        ),
        **_common(records, {"activities": "event_item", "spells": "stay", "wards": "stay_ward", "staff": "clinician", "teams": "unit"}),
    }  # fmt: skip
    # Nothing is ever NULL here: a blank string, now and then of several blanks, stands for what was not recorded.
    blank = {name: [{key: rng.choice(("", "", "  ")) if value is None else value for key, value in row.items()} for row in rows]
             for name, rows in tables.items()}  # fmt: skip
    _sqlite(example, folder, blank)


def _status_log(example: Path, folder: Path, held: History, rng: Random) -> None:
    """One row per change of status, hours as free text, dates typed in several forms, and a dash for what is missing."""
    records, local = held.records, _reverse(example)

    def typed(element: str) -> Callable[[Record], Any]:
        return lambda record: _typed(record[element], rng, _words()["dates"]) or "-"

    headers, log = [], []
    for number, record in enumerate(records["referrals"], 1):
        headers.append({"header_no": number} | _row(record, {
            "referral_ref": "ServiceRequestID", "client_ref": "LocalPatientID", "commissioner": "OrgIDComm", "team": "CareProfTeamLocalID",
            "time_received": "ReferralRequestReceivedTime", "source": "SourceOfReferralMH", "referrer": "OrgIDReferringOrg",
            "priority": "ClinRespPriorityType", "reason": "PrimReasonReferralMH"}))  # fmt: skip
        received = record["ReferralRequestReceivedDate"]
        changes = [("RECEIVED", received, None), ("ON HOLD", received, None)]
        changes += [("ENTERED IN ERROR", received, None)] if record["deleted"] == "1" else []
        changes += [("DECLINED", record["ReferRejectionDate"], record["ReferRejectReason"])] if record["ReferRejectionDate"] else []
        changes += [("DISCHARGED", record["ServDischDate"], record["ReferClosReason"])] if record["ServDischDate"] else []
        log += [{"header_no": number, "status": status, "status_on": day, "status_reason": why} for status, day, why in changes]
    rng.shuffle(log)
    team_log = []
    for number, record in enumerate(records["other_teams"], 1):
        common = {"link_no": number, "referral_ref": record["ServiceRequestID"], "team": record["OtherCareProfTeamLocalID"]}
        team_log.append({**common, "status": "JOINED", "status_on": record["since"], "status_reason": None})
        if record["ReferClosureDate"]:
            team_log.append({**common, "status": "LEFT", "status_on": record["ReferClosureDate"], "status_reason": record["ReferClosReason"]})
    tables = {
        "client": _rows(
            records["people"],
            {"client_ref": "LocalPatientID", "nhs_no": _or_dash("NHSNumber"), "nhs_no_check": "NHSNumberStatus", "surname": "surname",
             "forename": "forename", "dob": typed("PersonBirthDate"), "sex": _code("Gender", local["sex"]), "identity": _or_dash("GenderIDCode"),
             "ethnicity": _or_dash("EthnicCategory"), "language": "LanguageCodePreferred", "marital": _or_dash("MaritalStatus"),
             "school": "OrgIDEduEstab", "dod": typed("PersDeathDate")},
        ),
        "client_address": _rows(records["addresses"], {"client_ref": "LocalPatientID", "from_date": "since", "postcode": _or_dash("Postcode")}),
        "client_doctor": _rows(
            records["registrations"],
            {"client_ref": "LocalPatientID", "practice": "GMPReg", "from_date": "StartDateGMPRegistration", "to_date": "EndDateGMPRegistration"},
        ),
        "home_note": _rows(
            records["accommodation"],
            {"client_ref": "LocalPatientID", "kind": "AccommodationType", "settled": "SettledAccommodationInd", "noted_on": "AccommodationTypeDate"},
        ),
        "job_note": _rows(
            records["employment"],
            {"client_ref": "LocalPatientID", "status": _code("EmployStatus", local["work"]), "noted_on": typed("EmployStatusRecDate"),
             "hours": lambda record: _hours(record["WeekHoursWorked"], rng) or "-", "job_start": typed("EmployStatusStartDate"),
             "job_end": typed("EmployStatusEndDate")},
        ),
        "referral_header": headers,
        "referral_status": log,
        "team_status": team_log,
        "contact_note": _rows(
            records["contacts"],
            {"note_ref": "CareContactID", "referral_ref": "ServiceRequestID", "team": "OtherCareProfTeamLocalID", "held_on": "CareContDate",
             "held_at": "CareContTime", "length": "ClinContDurOfCareCont", "visit_kind": "ConsType",
             "channel": _code("ConsMechanismMH", local["channel"]),
             "place": "ActLocTypeCode", "attendance": _code("AttendStatus", local["attendance"]), "free_text": "note",
             "status": lambda record: "ENTERED IN ERROR" if record["deleted"] == "1" else "FINAL"},
        ),
        **_common(
            records,
            {"activities": "contact_part", "indirect": "office_note", "spells": "bed_spell", "wards": "bed_stay", "staff": "staff_list",
             "teams": "team_list"},
        ),
    }  # fmt: skip
    _sqlite(example, folder, tables)


#: Columns that CHAR(2) of the staging tables fills up with blanks.
_PADDED = ("EthnicCategory", "MaritalStatus")


def _staging(example: Path, folder: Path, held: History, rng: Random) -> None:
    """Tables named and columned like the standard's, all loads kept: only the newest complete one of a month counts."""
    tables: dict[str, _Rows] = {"stg_load": [], **{name: [] for name, _ in _STAGED.values()}}
    load = 0
    for period in periods():
        first, _ = bounds(period)
        # A load of before corrections, at times one that broke off later; a staging area keeps them all.
        for state in ("COMPLETE", "COMPLETE", *(("FAILED",) if rng.random() < 0.5 else ())):
            load += 1
            tables["stg_load"].append({"load_id": load, "period_start": first, "load_state": state})
            whole = state == "COMPLETE" and tables["stg_load"][-2:-1] != [] and tables["stg_load"][-2]["period_start"] == first
            for kind, (name, elements) in _STAGED.items():
                rows = [
                    {"load_id": load, **{element: _staged(element, record[element]) for element in elements}} for record in month(held, period)[kind]
                ]
                tables[name] += rows if whole else rng.sample(rows, len(rows) * 2 // 3)
    _sqlite(example, folder, tables)


_STAGED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "people": (
        "stg_mhs001mpi",
        ("LocalPatientID", "OrgIDEduEstab", "NHSNumber", "NHSNumberStatus", "PersonBirthDate", "Postcode", "Gender", "GenderIDCode", "MaritalStatus",
         "EthnicCategory", "LanguageCodePreferred", "PersDeathDate"),
    ),
    "registrations": ("stg_mhs002gp", ("LocalPatientID", "GMPReg", "StartDateGMPRegistration", "EndDateGMPRegistration")),
    "accommodation": ("stg_mhs003accommstatus", ("LocalPatientID", "AccommodationType", "SettledAccommodationInd", "AccommodationTypeDate")),
    "employment": (
        "stg_mhs004empstatus",
        ("LocalPatientID", "EmployStatus", "EmployStatusRecDate", "WeekHoursWorked", "EmployStatusStartDate", "EmployStatusEndDate"),
    ),
    "referrals": (
        "stg_mhs101referral",
        ("ServiceRequestID", "LocalPatientID", "OrgIDComm", "CareProfTeamLocalID", "ReferralRequestReceivedDate", "ReferralRequestReceivedTime",
         "SourceOfReferralMH", "OrgIDReferringOrg", "ClinRespPriorityType", "PrimReasonReferralMH", "ServDischDate", "ReferClosReason",
         "ReferRejectionDate", "ReferRejectReason"),
    ),
    "other_teams": ("stg_mhs102otherservicetype", ("ServiceRequestID", "OtherCareProfTeamLocalID", "ReferClosureDate", "ReferClosReason")),
    "contacts": (
        "stg_mhs201carecontact",
        ("CareContactID", "ServiceRequestID", "OtherCareProfTeamLocalID", "CareContDate", "CareContTime", "ClinContDurOfCareCont", "ConsType",
         "ConsMechanismMH", "ActLocTypeCode", "AttendStatus"),
    ),
    "activities": (
        "stg_mhs202careactivity",
        ("CareActID", "CareContactID", "ClinContactDurOfCareAct", "Procedure", "FindSchemeInUse", "Finding", "Observation", "ObsValue",
         "UnitofMeasurement_UCUM"),
    ),
    "indirect": (
        "stg_mhs204indirectactivity",
        ("ServiceRequestID", "OtherCareProfTeamLocalID", "CareProfLocalID", "IndirectActDate", "IndirectActTime", "DurationIndirectAct",
         "IndActProcedure"),
    ),
    "staff_activity": ("stg_mhs206staffactivity", ("CareActID", "CareProfLocalID")),
    "spells": (
        "stg_mhs501hospprovspell",
        ("HospProvSpellID", "ServiceRequestID", "StartDateHospProvSpell", "MethAdmMHHospProvSpell", "DischDateHospProvSpell"),
    ),
    "wards": ("stg_mhs502wardstay", ("WardStayID", "WardCode", "HospProvSpellID", "StartDateWardStay", "EndDateWardStay")),
    "staff": ("stg_mhs901staffdetails", ("CareProfLocalID", "CareProfStaffGpMH")),
    "teams": ("stg_mhs902serviceteamdetails", ("CareProfTeamLocalID", "ServTeamTypeMH", "ServTeamIntAgeGroup")),
}  # fmt: skip


def _workbook(example: Path, folder: Path, held: History, rng: Random) -> None:
    """A workbook as a service keeps it: titles above the headings, dates of Excel beside typed ones, free text, dashes and blank rows."""
    import openpyxl  # noqa: PLC0415 - only this shape needs it

    records, local = held.records, _reverse(example)

    def day(element: str) -> Callable[[Record], Any]:
        return lambda record: _in_a_sheet(record[element], rng)

    def mark(record: Record) -> str | None:
        return "x" if record["deleted"] == "1" else None

    sheets: Mapping[str, tuple[Iterable[Record], _Columns]] = {
        "Clients": (records["people"], {
            "Client ID": "LocalPatientID", "NHS no": lambda record: _number_or_spaced(record, rng), "NHS no checked": "NHSNumberStatus",
            "Surname": "surname", "First name": "forename", "Date of birth": day("PersonBirthDate"), "Sex": _code("Gender", local["sex"]),
            "Gender identity": _or_dash("GenderIDCode"), "Ethnicity": _or_dash("EthnicCategory"), "Language": "LanguageCodePreferred",
            "Marital status": _or_dash("MaritalStatus"), "School": "OrgIDEduEstab", "Died": day("PersDeathDate")}),
        "Addresses": (records["addresses"], {"Client ID": "LocalPatientID", "From": day("since"), "Postcode": _or_dash("Postcode")}),
        "GP": (records["registrations"], {
            "Client ID": "LocalPatientID", "Practice code": "GMPReg", "From": day("StartDateGMPRegistration"), "To": day("EndDateGMPRegistration")}),
        "Work": (records["employment"], {
            "Client ID": "LocalPatientID", "Status": _code("EmployStatus", local["work"]), "Asked on": day("EmployStatusRecDate"),
            "Hours a week": lambda record: _hours(record["WeekHoursWorked"], rng) or "-", "From": day("EmployStatusStartDate"),
            "To": day("EmployStatusEndDate")}),
        "Referrals": (records["referrals"], {
            "Ref": "ServiceRequestID", "Client ID": "LocalPatientID", "Commissioner": "OrgIDComm", "Team": "CareProfTeamLocalID",
            "Received": day("ReferralRequestReceivedDate"), "Time": lambda record: _time_of_day(record["ReferralRequestReceivedTime"]),
            "Source": _or_dash("SourceOfReferralMH"), "Referrer": "OrgIDReferringOrg", "Priority": _code("ClinRespPriorityType", local["priority"]),
            "Reason": "PrimReasonReferralMH", "Closed": day("ServDischDate"), "Why closed": "ReferClosReason",
            "Turned down": day("ReferRejectionDate"), "Why turned down": "ReferRejectReason", "Ignore?": mark}),
        "Sessions": (records["contacts"], {
            "Session": "CareContactID", "Ref": "ServiceRequestID", "Team": "OtherCareProfTeamLocalID", "Date": day("CareContDate"),
            "Start": lambda record: _time_of_day(record["CareContTime"]), "Minutes": "ClinContDurOfCareCont", "First?": "ConsType",
            "How": _code("ConsMechanismMH", local["how"]), "Where": "ActLocTypeCode", "Outcome": _code("AttendStatus", local["outcome"]),
            "Notes": "note", "Ignore?": mark}),
        "Teams": (records["teams"], {"Team": "CareProfTeamLocalID", "Type": "ServTeamTypeMH", "Ages": "ServTeamIntAgeGroup", "Since": day("since")}),
    }  # fmt: skip
    book = openpyxl.Workbook()
    book.active.title = "Read me"
    book.active.append(("A made-up workbook",))
    for title, (held_records, columns) in sheets.items():
        sheet = book.create_sheet(title)
        sheet.append((f"{title} of the employment service",))
        sheet.merge_cells(start_row=1, start_column=1, end_row=1, end_column=4)
        sheet.append(())
        sheet.append(list(columns))
        for record in held_records:
            sheet.append(list(_row(record, columns).values()))
            if rng.random() < 0.02:
                sheet.append(())
    path = folder / "caseload.xlsx"
    book.save(path)
    path.chmod(0o600)


def _access(example: Path, folder: Path, held: History, rng: Random) -> None:
    """An Access database: Yes/No, Date/Time with day zero for times, and look-up tables with numbers for keys."""
    from ips_pipeline.submission import access  # noqa: PLC0415 - only this shape needs it

    if (runtime := access.runtime()) is None:
        raise InputError(f"The Access database cannot be made here; {access.INSTALL}")
    records, columns = held.records, yaml.safe_load((example / "tables.yaml").read_text(encoding="utf-8"))
    keys = {name: {row["Code"]: row["ID"] for row in rows} for name, rows in columns["lookups"].items()}

    def keyed(element: str, name: str) -> Callable[[Record], Any]:
        return lambda record: keys[name].get(record[element])

    def deleted(record: Record) -> bool:
        return bool(record["deleted"] == "1")

    rows: dict[str, _Rows] = {
        "tblClient": _rows(records["people"], {
            "ClientRef": "LocalPatientID", "NHSNo": _spaced, "NHSNoStatus": "NHSNumberStatus", "Surname": "surname", "Forename": "forename",
            "DateOfBirth": _moment("PersonBirthDate"), "SexID": keyed("Gender", "tlkSex"), "GenderIdentity": "GenderIDCode",
            "EthnicGroup": "EthnicCategory", "Language": "LanguageCodePreferred", "Marital": "MaritalStatus", "School": "OrgIDEduEstab",
            "DateOfDeath": _moment("PersDeathDate")}),
        "tblAddress": _rows(records["addresses"], {"ClientRef": "LocalPatientID", "MovedIn": _moment("since"), "PostCode": "Postcode"}),
        "tblGP": _rows(records["registrations"], {
            "ClientRef": "LocalPatientID", "Practice": "GMPReg", "Joined": _moment("StartDateGMPRegistration"),
            "Left": _moment("EndDateGMPRegistration")}),
        "tblWork": _rows(records["employment"], {
            "ClientRef": "LocalPatientID", "WorkStatus": "EmployStatus", "Recorded": _moment("EmployStatusRecDate"),
            "Hours": lambda record: _hours(record["WeekHoursWorked"], rng),
            "JobStarted": lambda record: _typed(record["EmployStatusStartDate"], rng, ["%d/%m/%Y"]),
            "JobEnded": _moment("EmployStatusEndDate")}),
        "tblReferral": _rows(records["referrals"], {
            "ReferralRef": "ServiceRequestID", "ClientRef": "LocalPatientID", "Commissioner": "OrgIDComm", "Team": "CareProfTeamLocalID",
            "DateReceived": _moment("ReferralRequestReceivedDate"), "TimeReceived": _clock("ReferralRequestReceivedTime"),
            "Source": "SourceOfReferralMH", "Referrer": "OrgIDReferringOrg", "Urgency": "ClinRespPriorityType", "Reason": "PrimReasonReferralMH",
            "DateClosed": _moment("ServDischDate"), "WhyClosed": "ReferClosReason", "DateTurnedDown": _moment("ReferRejectionDate"),
            "WhyTurnedDown": "ReferRejectReason", "Deleted": deleted}),
        "tblReferralTeam": _rows(records["other_teams"], {
            "ReferralRef": "ServiceRequestID", "Team": "OtherCareProfTeamLocalID", "Joined": _moment("since"), "Left": _moment("ReferClosureDate"),
            "WhyLeft": "ReferClosReason"}),
        "tblVisit": _rows(records["contacts"], {
            "VisitRef": "CareContactID", "ReferralRef": "ServiceRequestID", "Team": "OtherCareProfTeamLocalID", "VisitDate": _moment("CareContDate"),
            "VisitTime": _clock("CareContTime"), "Mins": lambda record: str(record["ClinContDurOfCareCont"]), "VisitKind": "ConsType",
            "MediumID": keyed("ConsMechanismMH", "tlkMedium"), "Place": "ActLocTypeCode", "OutcomeID": keyed("AttendStatus", "tlkOutcome"),
            "Notes": "note", "Deleted": deleted}),
        "tblTeam": _rows(records["teams"], {"Team": "CareProfTeamLocalID", "TeamType": "ServTeamTypeMH", "Ages": "ServTeamIntAgeGroup",
        "Opened": _moment("since")}),
        **columns["lookups"],
    }  # fmt: skip
    kinds = {name: [(column, *(("TEXT", size) if isinstance(size, int) else (size, 0))) for column, size in held_columns.items()]
             for name, held_columns in columns["tables"].items()}  # fmt: skip
    with TemporaryDirectory(dir=folder) as work:
        files = {}
        for number, (name, columns_) in enumerate(kinds.items()):
            files[name] = Path(work) / f"{number}.parquet"
            arrays = {column: pa.array([row[column] for row in rows[name]], _ARROW[kind]) for column, kind, _ in columns_}
            pq.write_table(pa.table(arrays), files[name])
        access.make(folder / "service.accdb", kinds, files, runtime, temporary=Path(work))


_ARROW = {"TEXT": pa.string(), "MEMO": pa.string(), "LONG": pa.int32(), "BOOLEAN": pa.bool_(), "SHORT_DATE_TIME": pa.timestamp("s")}

_SHAPES: Mapping[str, Callable[[Path, Path, History, Random], None]] = {
    "rio-like": _reporting_database,
    "systmone-like": _unit_record,
    "carenotes-like": _status_log,
    "mhsds-staging": _staging,
    "excel-workbook": _workbook,
    "access-database": _access,
}

#: The shapes, in the order of the index.
NAMES = tuple(_SHAPES)


@cache
def _words() -> Any:
    return yaml.safe_load((Path(__file__).parent / "shapes.yaml").read_text(encoding="utf-8"))


def _reverse(example: Path) -> Mapping[str, Mapping[str, str]]:
    """The code maps of the example, national code -> local code: of several local codes the first."""
    mapping = mappings.load(example / "mapping.yaml")
    return {name: {national: local for local, national in reversed(list(codes.values.items()))} for name, codes in mapping.codes.items()}


def _row(record: Record, columns: _Columns) -> dict[str, Any]:
    return {name: record[origin] if isinstance(origin, str) else origin(record) for name, origin in columns.items()}


def _rows(records: Iterable[Record], columns: _Columns) -> _Rows:
    return [_row(record, columns) for record in records]


def _common(records: Mapping[str, list[Record]], names: Mapping[str, str]) -> dict[str, _Rows]:
    """Tables that show no habit of their own, under the names a shape gives them."""
    columns: Mapping[str, _Columns] = {
        "activities": {"part_no": "CareActID", "contact_no": "CareContactID", "minutes": "ClinContactDurOfCareAct", "snomed": "Procedure",
                       "finding_scheme": "FindSchemeInUse", "finding": "Finding", "observation": "Observation", "observed_value": "ObsValue",
                       "observed_unit": "UnitofMeasurement_UCUM", "staff_no": "CareProfLocalID"},
        "indirect": {"referral_no": "ServiceRequestID", "team_no": "OtherCareProfTeamLocalID", "staff_no": "CareProfLocalID",
        "done_on": "IndirectActDate",
                     "done_at": "IndirectActTime", "minutes": "DurationIndirectAct", "snomed": "IndActProcedure"},
        "spells": {"spell_no": "HospProvSpellID", "referral_no": "ServiceRequestID", "admitted_on": "StartDateHospProvSpell",
                   "method": "MethAdmMHHospProvSpell", "discharged_on": "DischDateHospProvSpell"},
        "wards": {"stay_no": "WardStayID", "ward": "WardCode", "spell_no": "HospProvSpellID", "from_date": "StartDateWardStay",
                  "to_date": "EndDateWardStay"},
        "staff": {"staff_no": "CareProfLocalID", "staff_group": "CareProfStaffGpMH"},
        "teams": {"team_no": "CareProfTeamLocalID", "team_type": "ServTeamTypeMH", "age_group": "ServTeamIntAgeGroup", "opened_on": "since"},
    }  # fmt: skip
    return {name: _rows(records[kind], columns[kind]) for kind, name in names.items()}


def _sqlite(example: Path, folder: Path, tables: Mapping[str, _Rows]) -> None:
    """Make the database of the example's definitions and fill it."""
    path = folder / _DATABASE
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript((example / "schema.sql").read_text(encoding="utf-8"))
        for name, rows in tables.items():
            if rows:
                columns = ", ".join(map(identifier, rows[0]))
                values = ", ".join("?" for _ in rows[0])
                connection.executemany(f"INSERT INTO {identifier(name)} ({columns}) VALUES ({values})", [tuple(row.values()) for row in rows])
    path.chmod(0o600)


def _merge(records: Mapping[str, list[Record]], rng: Random) -> tuple[_Rows, Mapping[str, Sequence[str]]]:
    """Some people were known under one or two ids before they were found to be one: the merges, and the ids each one's rows may stand under."""
    merges: _Rows = []
    ids: dict[str, list[str]] = {}
    for number, person in enumerate(records["people"]):
        kept = person["LocalPatientID"]
        ids[kept] = [kept]
        if number % _MERGED == 0:
            for turn in range(rng.choice((1, 2))):
                old = f"OLD{turn}-{kept}"
                # Of two merges the second is into the first's id, so the way to the survivor has two steps.
                merges.append({"old_client_no": old, "kept_client_no": ids[kept][-1]})
                ids[kept].append(old)
    return merges, ids


def _lookup_code(domain: str, national: str | None, day: str) -> str | None:
    """The local code that stood for a national one on a day."""
    held = _words()["lookups"][domain]["after" if day >= _words()["lookup_changes"] else "before"]
    return next((local for local, code in held.items() if code == national), national)


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def _code(element: str, codes: Mapping[str, str]) -> Callable[[Record], Any]:
    """The local code of an element; one without a local code stands as it is."""
    return lambda record: codes.get(record[element], record[element])


def _or_dash(element: str) -> Callable[[Record], Any]:
    return lambda record: "-" if record[element] is None else record[element]


def _flag(record: Record) -> int:
    return int(record["deleted"])


def _spaced(record: Record) -> str | None:
    number = record["NHSNumber"]
    return f"{number[:3]} {number[3:6]} {number[6:]}" if number else None


def _number_or_spaced(record: Record, rng: Random) -> Any:
    """An NHS number as it gets into a sheet: as a number, or typed with blanks."""
    if not record["NHSNumber"]:
        return "-"
    return int(record["NHSNumber"]) if rng.random() < 0.5 else _spaced(record)


def _typed(value: str | None, rng: Random, forms: Sequence[str]) -> str | None:
    """A date in one of the forms people type; what is no date stays as it is."""
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return date.fromisoformat(value).strftime(rng.choice(forms))
    return value


def _in_a_sheet(value: str | None, rng: Random) -> Any:
    """A date of Excel, or now and then text in a cell that looks like one."""
    if value is None:
        return rng.choice((None, "-"))
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return value
    # Excel's calendar begins in 1900.
    return day if rng.random() < 0.8 and day.year >= 1900 else day.strftime(rng.choice(_words()["sheet_dates"]))


def _time_of_day(value: str | None) -> Any:
    return None if value is None else datetime.fromisoformat(f"1900-01-01T{value}").time()


def _hours(code: str | None, rng: Random) -> str | None:
    return str(rng.choice(_words()["hours"][code])) if code else None


def _utc(day: str, at: str) -> str:
    """A local date and time as a timestamp in UTC."""
    return datetime.fromisoformat(f"{day}T{at}").replace(tzinfo=_LONDON).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(element: str) -> Callable[[Record], Any]:
    """A date as Access keeps it."""
    return lambda record: datetime.fromisoformat(record[element]) if record[element] else None


def _clock(element: str) -> Callable[[Record], Any]:
    """A time of day as Access keeps it: on its day zero."""
    return lambda record: datetime.fromisoformat(f"1899-12-30T{record[element]}") if record[element] else None


def _staged(element: str, value: Any) -> Any:
    """A value as SQL Server's types give it back: dates with a midnight, times on a day of 1900, CHAR filled up with blanks."""
    if value is None:
        return None
    if element in _PADDED:
        return str(value).ljust(2)
    if "Time" in element:
        return f"1900-01-01 {value}"
    with contextlib.suppress(ValueError):
        return f"{date.fromisoformat(str(value))} 00:00:00" if "Date" in element else value
    return value
