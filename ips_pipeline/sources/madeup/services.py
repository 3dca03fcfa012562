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
    return {"files": f"{trust.code}/ips_records", "workbook": f"{trust.code}/ips_records.xlsx", None: None}[trust.records]


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
        self.teams = {team["id"]: team for team in about.content["teams"] if team["role"] == "ips"}
        self.clinical = next(team["id"] for team in about.content["teams"] if team["role"] == "clinical")
        self.trial: Mapping[str, Mapping[str, float]] = about.content["services"].get("trial", {})
        self.found: dict[str, list[Record]] = {name: [] for name in _WORKBOOK_SHEETS}

    def tables(self) -> Tables:
        """All tables that have a row."""
        self._staff()
        people = {record["LocalPatientID"]: record for record in self.held.records["people"]}
        homes = {record["LocalPatientID"]: record["Postcode"] for record in self.held.records["addresses"]}
        second = {record["ServiceRequestID"]: record for record in self.held.records["other_teams"]}
        seen: dict[str, list[str]] = {}
        for contact in self.held.records["contacts"]:
            if contact["AttendStatus"] in ("5", "6") and contact["deleted"] == "0":
                seen.setdefault(contact["ServiceRequestID"], []).append(contact["CareContDate"])
        taken: set[str] = set()
        for referral in self.held.records["referrals"]:
            # Of one person a trial has one episode; elsewhere a referral that was entered twice is one.
            reference = referral["ServiceRequestID"]
            once = referral["LocalPatientID"] if self.trial else reference
            team = next(
                (name for name in (referral["CareProfTeamLocalID"], second.get(reference, {}).get("OtherCareProfTeamLocalID")) if name in self.teams),
                None,
            )
            known = (team is not None or self.trial) and once not in taken and referral["deleted"] == "0" and referral["ReferRejectionDate"] is None
            if known and self.rng.random() < self.about.content["services"]["known_to_service"]:
                taken.add(once)
                person = people[referral["LocalPatientID"]]
                self._episode(referral, person, homes.get(referral["LocalPatientID"]), team, sorted(seen.get(reference, ())))
        self._funding()
        # Drawn last and person by person, so that whether somebody had advice moves nothing else.
        for episode in self.found["ips_episode"]:
            advice = Random(f"{episode['episode_id']}/advice")
            if advice.random() < self.about.content["services"]["benefits_advice"] and episode["first_contact_date"]:
                given = date.fromisoformat(episode["first_contact_date"]) + timedelta(days=advice.randint(7, 90))
                until = date.fromisoformat(episode["discharge_date"]) if episode["discharge_date"] else self.last
                episode["benefits_advice_date"] = given.isoformat() if given <= until else None
        return {name: rows for name, rows in self.found.items() if rows}

    def _staff(self) -> None:
        """The posts of the service: those the scenario names, or some specialists with a start date each."""
        services = self.about.content["services"]
        posts = services.get("posts") or [
            {
                "id": f"ES{position}",
                "team": list(self.teams)[position % 2],
                "borough": self._borough(position),
                "wte": self.rng.choice(services["wte"]),
                "from": "2024-01-08" if position > 1 else (self.last - timedelta(days=200)).isoformat(),
            }
            for position in range(1, services["specialists"] + 1)
        ]
        for post in posts:
            self.found["ips_staff"].append(
                {
                    "OrgIDProvider": self.held.trust.code,
                    "specialist_id": post["id"],
                    "ips_team": post["team"],
                    "borough": post.get("borough", self.teams[post["team"]].get("borough")),
                    "role": post.get("role", "specialist"),
                    "wte": post["wte"],
                    "from_date": post["from"],
                    "to_date": post.get("to"),
                }
            )

    def _funding(self) -> None:
        """Quarterly payments: those the scenario names by borough, or the same sum to each borough in turn."""
        services = self.about.content["services"]
        lines = services.get("funding") or [
            {"borough": self._borough(quarter), "skip": quarter, "quarterly": [services["quarterly_funding"]]}
            for quarter in range(services["funded_quarters"])
        ]
        year, month = map(int, services["funded_from"].split("-"))
        for line in lines:
            for quarter, amount in enumerate(line["quarterly"], line.get("skip", 0)):
                begins, next_begins = (date(year + (month - 1 + 3 * add) // 12, (month - 1 + 3 * add) % 12 + 1, 1) for add in (quarter, quarter + 1))
                self.found["ips_funding"].append(
                    {
                        "OrgIDProvider": self.held.trust.code,
                        "borough": line["borough"],
                        "period_start": begins.isoformat(),
                        "period_end": (next_begins - timedelta(days=1)).isoformat(),
                        "amount": str(amount),
                        "source": "Made-up commissioner",
                    }
                )

    def _specialist(self, team: str | None, day: date) -> str | None:
        """Who takes a client: one of the team's specialists of that day, where the scenario names posts."""
        services = self.about.content["services"]
        if "posts" not in services:
            return f"ES{self.rng.randint(1, services['specialists'])}"
        own = [post for post in services["posts"] if post["team"] == team and post.get("role", "specialist") == "specialist"]
        there = [post["id"] for post in own if post["from"] <= day.isoformat() <= post.get("to", "9999-12-31")]
        return self.rng.choice(there or [post["id"] for post in own]) if own else None

    def _episode(self, referral: Record, person: Record, home: str | None, team: str | None, seen: Sequence[str]) -> None:
        rng, number = self.rng, len(self.found["ips_episode"]) + 1
        canary = referral["ServiceRequestID"] == self.canary.referral
        received = date.fromisoformat(referral["ReferralRequestReceivedDate"]) + timedelta(days=rng.randint(0, 5))
        accepted = received + timedelta(days=rng.randint(1, 14))
        first = date.fromisoformat(seen[0]) if seen else None
        contact = max(accepted, first) if first else None
        supported = team is not None
        if self.trial:
            # Recruited long before the months returned, so the service's own dates are not those of the contacts returned.
            contact = accepted + timedelta(days=rng.randint(3, 25)) if supported else None
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
            "accepted_date": accepted.isoformat() if supported else None,
            "agreed_date": accepted.isoformat() if contact else None,
            "first_contact_date": contact.isoformat() if contact else None,
            "vocational_profile_date": (contact + timedelta(days=rng.randint(0, 21))).isoformat() if contact and rng.random() < 0.85 else None,
            "benefits_advice_date": None,
            "last_contact_date": max(seen[-1], contact.isoformat()) if seen and contact else None,
            "status_at_start": status,
            "in_work_reason": rng.choice(("retention", "new_job")) if status == "in_work" else None,
            "specialist_id": self._specialist(team, accepted) if supported else None,
            "clinical_team": self.clinical,
            "ips_team": team,
            "borough": self.teams.get(str(team), {}).get("borough") or self._borough(number),
            "discharge_date": max(closed, accepted.isoformat()) if closed else None,
            "discharge_reason": self.canary.note if canary else ("Completed" if closed else None),
            "in_work_at_discharge": None,
        }
        if self.trial:
            episode |= self._allocated(supported, accepted)
        self.found["ips_episode"].append(episode)
        if contact and (canary or rng.random() < 0.8):
            self._employer_contact(episode, contact + timedelta(days=rng.randint(3, 45)))
        begins = contact or (accepted if self.trial else None)
        working = self._jobs(episode, begins, canary) if begins else False
        if closed and rng.random() < 0.9:
            episode["in_work_at_discharge"] = "Y" if working else "N"
        # Typing errors, as services make them: the rules of the records find them.
        if not canary and rng.random() < 0.01:
            episode["accepted_date"] = (received - timedelta(days=30)).isoformat()

    def _allocated(self, supported: bool, day: date) -> Record:
        """The arm of a trial: the first for those an employment team supports, the second for the others; and the day some were lost."""
        arm = list(self.trial)[0 if supported else 1]
        lost = day + timedelta(days=self.rng.randint(60, 360)) if self.rng.random() < self.trial[arm]["lost"] else None
        conditions = self.about.content["services"]["conditions"][self.held.trust.code]
        condition = self.rng.choices(list(conditions), list(conditions.values()))[0]
        allocated: Record = {"arm": arm, "randomised_date": day.isoformat(), "health_condition": condition}
        return {**allocated, "lost_date": lost.isoformat() if lost and lost <= self.last else None}

    def _jobs(self, episode: Record, contact: date, canary: bool) -> bool:
        """The jobs of an episode; whether one still goes on at its end."""
        rng, services = self.rng, self.about.content["services"]
        until = date.fromisoformat(episode["discharge_date"]) if episode["discharge_date"] else self.last
        if episode["status_at_start"] == "in_work":
            self._job(episode, contact - timedelta(days=400), None, held=True)
            return True
        if not canary and rng.random() >= (self.trial[episode["arm"]]["job_rate"] if self.trial else services["job_rate"]):
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
        if held or rng.random() < 1 - services["weeks_recorded"]:
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
