"""What the made-up trusts' employment services keep themselves: local IPS records beside the referrals that their trusts return.

Most keep CSV files; the charity keeps a workbook with its own words. The online service keeps none.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

import xlsxwriter

from ips_pipeline.sources.madeup.people import Canary, History, Record, Trust, Variety, bounds, months

#: Table -> its records, under the standard names of local IPS records.
Tables = Mapping[str, list[Record]]

_WORKBOOK_SHEETS = {
    "ips_episode": "Caseload",
    "ips_job": "Jobs",
    "ips_job_week": "Weekly hours",
    "ips_employer_contact": "Employer contacts",
    "ips_staff": "Staff",
    "ips_funding": "Funding",
}
#: What the charity calls its columns; the others have their standard names.
_WORKBOOK_WORDS = {
    "episode_id": "Case ID",
    "NHSNumber": "NHS number",
    "referral_date": "Date of referral",
    "accepted_date": "Accepted",
    "vocational_profile_date": "Vocational profile",
    "status_at_start": "Work status at start",
    "specialist_id": "Specialist",
    "start_date": "Start date",
    "weekly_hours": "Hours per week",
    "wte": "WTE",
}
_WORKBOOK_CODES = {"out_of_work": "Not working", "in_work": "Employed", "unknown": "Not known", "Y": "Yes", "N": "No"}


def kept_in(trust: Trust) -> str | None:
    """Where a trust's service keeps its records, relative to the folder of the trusts; None where it keeps none."""
    content = {"DFC": None, "V9Z9Z": f"{trust.code}/ips_records.xlsx"}
    return content.get(trust.code, f"{trust.code}/ips_records")


def write(folder: Path, held: History, number: int, about: Variety, rng: Random) -> None:
    """Write the local IPS records of the trust at that position below ``folder``; see ``kept_in``."""
    place = kept_in(held.trust)
    if place is None:
        return
    tables = _Service(held, Canary.of(number), about, rng).tables()
    if place.endswith(".xlsx"):
        _workbook(folder / place, tables)
        return
    (folder / place).mkdir(mode=0o700)
    for name, rows in tables.items():
        path = folder / place / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        path.chmod(0o600)


class _Service:
    """Invents the records of one service from the referrals that an IPS team of its trust holds."""

    def __init__(self, held: History, canary: Canary, about: Variety, rng: Random) -> None:
        self.held, self.canary, self.about, self.rng = held, canary, about, rng
        periods = list(months(about))
        self.first, self.last = (date.fromisoformat(bounds(period)[end]) for period, end in ((periods[0], 0), (periods[-1], 1)))
        self.teams = [team["id"] for team in about.content["teams"] if team["role"] == "ips"]
        self.found: dict[str, list[Record]] = {name: [] for name in _WORKBOOK_SHEETS}

    def tables(self) -> Tables:
        """All tables that have a row."""
        services = self.about.content["services"]
        for position in range(1, services["specialists"] + 1):
            self.found["ips_staff"].append(
                {
                    "OrgIDProvider": self.held.trust.code,
                    "specialist_id": f"ES{position}",
                    "ips_team": self.teams[position % 2],
                    "borough": self._borough(position),
                    "role": "specialist",
                    "wte": self.rng.choice(services["wte"]),
                    "from_date": "2024-01-08" if position > 1 else (self.last - timedelta(days=200)).isoformat(),
                    "to_date": None,
                }
            )
        people = {record["LocalPatientID"]: record for record in self.held.records["people"]}
        homes = {record["LocalPatientID"]: record["Postcode"] for record in self.held.records["addresses"]}
        second = {record["ServiceRequestID"]: record for record in self.held.records["other_teams"]}
        seen: dict[str, list[str]] = {}
        for contact in self.held.records["contacts"]:
            if contact["AttendStatus"] in ("5", "6") and contact["deleted"] == "0":
                seen.setdefault(contact["ServiceRequestID"], []).append(contact["CareContDate"])
        taken: set[str] = set()
        for referral in self.held.records["referrals"]:
            reference = referral["ServiceRequestID"]
            team = next(
                (name for name in (referral["CareProfTeamLocalID"], second.get(reference, {}).get("OtherCareProfTeamLocalID")) if name in self.teams),
                None,
            )
            known = team is not None and reference not in taken and referral["deleted"] == "0" and referral["ReferRejectionDate"] is None
            if known and self.rng.random() < services["known_to_service"]:
                taken.add(reference)
                person = people[referral["LocalPatientID"]]
                self._episode(referral, person, homes.get(referral["LocalPatientID"]), str(team), sorted(seen.get(reference, ())))
        for quarter in range(6):
            begins = date(2025 + (3 * quarter + 3) // 12, (3 * quarter + 3) % 12 + 1, 1)
            ends = date(2025 + (3 * quarter + 6) // 12, (3 * quarter + 6) % 12 + 1, 1) - timedelta(days=1)
            self.found["ips_funding"].append(
                {
                    "OrgIDProvider": self.held.trust.code,
                    "borough": self._borough(quarter),
                    "period_start": begins.isoformat(),
                    "period_end": ends.isoformat(),
                    "amount": str(services["quarterly_funding"]),
                    "source": "Made-up commissioner",
                }
            )
        return {name: rows for name, rows in self.found.items() if rows}

    def _episode(self, referral: Record, person: Record, home: str | None, team: str, seen: Sequence[str]) -> None:
        rng, number = self.rng, len(self.found["ips_episode"]) + 1
        canary = referral["ServiceRequestID"] == self.canary.referral
        received = date.fromisoformat(referral["ReferralRequestReceivedDate"]) + timedelta(days=rng.randint(0, 5))
        accepted = received + timedelta(days=rng.randint(1, 14))
        first = date.fromisoformat(seen[0]) if seen else None
        contact = max(accepted, first) if first else None
        closed = referral["ServDischDate"]
        status = "out_of_work" if canary else rng.choices(("out_of_work", "in_work", "unknown"), (84, 12, 4))[0]
        episode: Record = {
            "OrgIDProvider": self.held.trust.code,
            "episode_id": f"{self.held.trust.code}-{number:04d}",
            "LocalPatientID": person["LocalPatientID"],
            "NHSNumber": person["NHSNumber"],
            "ServiceRequestID": referral["ServiceRequestID"],
            "PersonBirthDate": person["PersonBirthDate"],
            "Gender": person["Gender"],
            "EthnicCategory": person["EthnicCategory"],
            "Postcode": home,
            "referral_date": received.isoformat(),
            "accepted_date": accepted.isoformat(),
            "agreed_date": accepted.isoformat() if contact else None,
            "first_contact_date": contact.isoformat() if contact else None,
            "vocational_profile_date": (contact + timedelta(days=rng.randint(0, 21))).isoformat() if contact and rng.random() < 0.85 else None,
            "last_contact_date": max(seen[-1], contact.isoformat()) if seen and contact else None,
            "status_at_start": status,
            "in_work_reason": rng.choice(("retention", "new_job")) if status == "in_work" else None,
            "specialist_id": f"ES{rng.randint(1, self.about.content['services']['specialists'])}",
            "clinical_team": "T-CMHT",
            "ips_team": team,
            "borough": self._borough(number),
            "discharge_date": max(closed, accepted.isoformat()) if closed else None,
            "discharge_reason": self.canary.note if canary else ("Completed" if closed else None),
            "in_work_at_discharge": None,
        }
        self.found["ips_episode"].append(episode)
        if contact and (canary or rng.random() < 0.8):
            self._employer_contact(episode, contact + timedelta(days=rng.randint(3, 45)))
        working = self._jobs(episode, contact, canary) if contact else False
        if closed and rng.random() < 0.9:
            episode["in_work_at_discharge"] = "Y" if working else "N"
        # Typing errors, as services make them: the rules of the records find them.
        if not canary and rng.random() < 0.01:
            episode["accepted_date"] = (received - timedelta(days=30)).isoformat()

    def _jobs(self, episode: Record, contact: date, canary: bool) -> bool:
        """The jobs of an episode; whether one still goes on at its end."""
        rng, services = self.rng, self.about.content["services"]
        until = date.fromisoformat(episode["discharge_date"]) if episode["discharge_date"] else self.last
        if episode["status_at_start"] == "in_work":
            self._job(episode, contact - timedelta(days=400), None, held=True)
            return True
        if not canary and rng.random() >= services["job_rate"]:
            return False
        starts, working = contact + timedelta(days=rng.randint(30, 170)), False
        for _ in range(1 + (rng.random() < 0.2)):
            if starts > until:
                break
            lasts = rng.randint(10, 500)
            ends = starts + timedelta(days=lasts) if starts + timedelta(days=lasts) <= until else None
            self._job(episode, starts, ends, held=False, employer=self.canary.bad_value if canary else None)
            working = ends is None
            starts = (ends or starts) + timedelta(days=rng.randint(1, 60))
        return working

    def _job(self, episode: Record, starts: date, ends: date | None, *, held: bool, employer: str | None = None) -> None:
        rng, services = self.rng, self.about.content["services"]
        own = [job for job in self.found["ips_job"] if job["episode_id"] == episode["episode_id"]]
        hours = rng.choice(services["hours"])
        self.found["ips_job"].append(
            {
                "episode_id": episode["episode_id"],
                "job_no": str(len(own) + 1),
                "start_date": starts.isoformat(),
                "end_date": ends.isoformat() if ends else None,
                "first_four_hours_date": (starts + timedelta(days=rng.randint(0, 6))).isoformat()
                if not held and (not ends or ends - starts > timedelta(days=6))
                else None,
                "held_at_start": "Y" if held else "N",
                "weekly_hours": hours,
                "hourly_pay": rng.choice(services["pay"]),
                "employer_id": employer or f"EMP{rng.randint(1, 60):02d}",
                "job_title": rng.choice(services["titles"]),
                "contract_type": rng.choice(("permanent", "permanent", "fixed_term", "zero_hours")),
                "competitive": "Y" if rng.random() < 0.97 else "N",
            }
        )
        if held or rng.random() < 0.5:
            return
        monday = starts - timedelta(days=starts.weekday()) + timedelta(days=7)
        while monday + timedelta(days=6) <= min(ends or self.last, starts + timedelta(days=200)):
            worked = hours if rng.random() < 0.9 else "0"
            week = {"episode_id": episode["episode_id"], "job_no": str(len(own) + 1), "week_start": monday.isoformat(), "hours": worked, "paid": "Y"}
            self.found["ips_job_week"].append(week)
            monday += timedelta(days=7)

    def _employer_contact(self, episode: Record, day: date) -> None:
        while day <= self.last and self.rng.random() < 0.85:
            self.found["ips_employer_contact"].append(
                {
                    "contact_id": f"EC{len(self.found['ips_employer_contact']) + 1:05d}",
                    "episode_id": episode["episode_id"],
                    "specialist_id": episode["specialist_id"],
                    "contact_date": day.isoformat(),
                    "mode": self.rng.choice(("face_to_face", "face_to_face", "telephone", "email")),
                    "employer_id": f"EMP{self.rng.randint(1, 60):02d}",
                }
            )
            day += timedelta(days=self.rng.randint(3, 30))

    def _borough(self, number: int) -> str:
        boroughs: Sequence[str] = self.about.content["services"]["boroughs"]
        return boroughs[number % len(boroughs)]


def _workbook(path: Path, tables: Tables) -> None:
    """A workbook as services keep it: a title, headings in plain words, real dates, and notes below the last row."""
    with xlsxwriter.Workbook(path, {"default_date_format": "dd/mm/yyyy"}) as book:
        # The time of writing is part of the file; a fixed one gives the same bytes for the same seed.
        book.set_properties({"created": datetime(2026, 10, 1)})
        for name, rows in tables.items():
            sheet = book.add_worksheet(_WORKBOOK_SHEETS[name])
            sheet.write(0, 0, "Employment service (made up)")
            for column, element in enumerate(rows[0]):
                sheet.write(2, column, _WORKBOOK_WORDS.get(element, element))
                for position, row in enumerate(rows, 3):
                    _cell(sheet, position, column, element, row[element])
            sheet.write(len(rows) + 5, 0, "Checked by the team leader")
    path.chmod(0o600)


def _cell(sheet: xlsxwriter.worksheet.Worksheet, row: int, column: int, element: str, value: str | None) -> None:
    if value is None:
        return
    if element.endswith("_date") or element in ("week_start", "PersonBirthDate", "period_start", "period_end"):
        try:
            sheet.write_datetime(row, column, datetime.fromisoformat(value))
        except ValueError:
            sheet.write_string(row, column, value)
    elif element in ("wte", "weekly_hours", "hours", "amount", "hourly_pay"):
        sheet.write_number(row, column, float(value))
    else:
        sheet.write_string(row, column, _WORKBOOK_CODES.get(value, value))
