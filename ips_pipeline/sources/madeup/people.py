"""The people of the made-up trusts: whom each trust knows, what happened to them, and what was recorded badly.

A history holds whole lives of records under the standard's element names and national codes; ``month`` cuts one month out of it,
as a trust's own export would. How a trust names and codes them is no matter here (see ``systems``).
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import yaml

#: One record: element -> value (text or a whole number), None where nothing was recorded.
Record = dict[str, Any]

#: After every date there is: the end of what has not ended.
_OPEN = "9999-12-31"


@dataclass(frozen=True, slots=True)
class Trust:
    """One made-up trust; see variety.yaml."""

    code: str
    name: str
    shape: str
    people: int
    homes: tuple[str, ...]
    rejected_month: str | None = None
    records: str | None = "files"


@dataclass(frozen=True, slots=True)
class Variety:
    """variety.yaml, with the trusts typed; ``weights`` maps a name to codes and how often each occurs."""

    trusts: tuple[Trust, ...]
    weights: Mapping[str, Mapping[str, int]]
    content: Mapping[str, Any]

    def pick(self, name: str, rng: Random) -> str | None:
        """A code of that list by its weight; an empty code is no value."""
        codes = self.weights[name]
        return rng.choices(list(codes), list(codes.values()))[0] or None


@dataclass(frozen=True, slots=True)
class Places:
    """Where people can live and register: postcodes and practices by sub-ICB."""

    postcodes: Mapping[str, Sequence[str]]
    practices: Mapping[str, Sequence[str]]
    odd_postcodes: Sequence[str]
    odd_practices: Sequence[str]
    closed_practices: Sequence[str]


@dataclass(frozen=True, slots=True)
class History:
    """All records of a trust by kind: people, addresses, registrations, referrals, contacts …"""

    trust: Trust
    records: Mapping[str, list[Record]]


@dataclass(frozen=True, slots=True)
class Canary:
    """The recognisable values of one trust's canary person."""

    person: str
    nhs: str
    postcode: str
    surname: str
    forename: str
    referral: str
    contact: str
    activity: str
    note: str
    bad_value: str

    @staticmethod
    def of(number: int) -> Canary:
        """The canary of the trust at that position."""
        found = [nhs for serial in range(990_000 + 20 * number, 990_020 + 20 * number) if (nhs := nhs_number(serial))]
        return Canary(
            person=f"CANARYPAT{number}",
            nhs=found[0],
            postcode=f"XK9{number} 9QQ" if number < 10 else f"XK{number} 9QQ",
            surname=f"Canarysurname{number}",
            forename=f"Canaryforename{number}",
            referral=f"CANARYREF{number}",
            contact=f"CANARYCON{number}",
            activity=f"CANARYACT{number}",
            note=f"canary note {number} of the interview",
            bad_value=f"CANARYBAD{number}",
        )

    @property
    def values(self) -> tuple[str, ...]:
        """All of them."""
        return (
            self.person,
            self.nhs,
            self.postcode,
            self.surname,
            self.forename,
            self.referral,
            self.contact,
            self.activity,
            self.note,
            self.bad_value,
        )


def variety(scenario: Mapping[str, Any] | None = None) -> Variety:
    """What the made-up trusts are made of, from the file beside this module.

    What a scenario says stands instead; of ``weights`` and ``services`` it may say a part.
    """
    content = yaml.safe_load((Path(__file__).parent / "variety.yaml").read_text(encoding="utf-8"))
    for key, value in (scenario or {}).items():
        content[key] = {**content[key], **value} if key in ("weights", "services") else value
    trusts = tuple(Trust(**{**item, "homes": tuple(item["homes"])}) for item in content["trusts"])
    return Variety(trusts, content["weights"], content)


def months(about: Variety) -> Iterator[str]:
    """Each month from the first to the last, yyyy-mm."""
    year, month = map(int, about.content["first_month"].split("-"))
    while (period := f"{year}-{month:02d}") <= about.content["last_month"]:
        yield period
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def bounds(period: str) -> tuple[str, str]:
    """First and last day of a month."""
    year, month = map(int, period.split("-"))
    return f"{period}-01", f"{period}-{calendar.monthrange(year, month)[1]}"


def nhs_number(serial: int) -> str | None:
    """The NHS number 999 + six digits + check digit; None where the check digit would be 10 or the number reads the same backwards."""
    body = f"999{serial:06d}"
    check = 11 - sum(int(digit) * weight for digit, weight in zip(body, range(10, 1, -1), strict=True)) % 11
    if check == 10:
        return None
    number = f"{body}{check % 11}"
    return None if number == number[::-1] else number


def history(about: Variety, number: int, places: Places, rng: Random, before: History | None) -> History:
    """Invent the records of the trust at that position. Some of its people are also ``before``'s (the same NHS number and birth date)."""
    return _Writer(about, number, places, rng).write(before)


def month(held: History, period: str) -> dict[str, list[Record]]:
    """What a trust would return for a month: the records in force in it, without what had not happened by its end."""
    first, last = bounds(period)
    records = held.records

    def until_then(record: Record, when: str, *more: str) -> Record:
        return record if (record[when] or _OPEN) <= last else {**record, when: None, **dict.fromkeys(more)}

    def in_force(kind: str, begin: str, end: str) -> list[Record]:
        return [record for record in records[kind] if record[begin] <= last and (record[end] or _OPEN) >= first]

    referrals = [
        until_then(until_then(record, "ServDischDate", "ReferClosReason"), "ReferRejectionDate", "ReferRejectReason")
        for record in records["referrals"]
        if record["deleted"] == "0"
        and record["ReferralRequestReceivedDate"] <= last
        and (record["ServDischDate"] or record["ReferRejectionDate"] or _OPEN) >= first
    ]
    known = {record["LocalPatientID"] for record in referrals}
    homes = {record["LocalPatientID"]: record["Postcode"] for record in records["addresses"] if record["since"] <= last}
    contacts = [record for record in records["contacts"] if record["deleted"] == "0" and first <= record["CareContDate"] <= last]
    seen = {record["CareContactID"] for record in contacts}
    activities = [record for record in records["activities"] if record["CareContactID"] in seen]
    return {
        "people": [
            {
                **record,
                "Postcode": homes.get(record["LocalPatientID"]),
                "PersDeathDate": record["PersDeathDate"] if first <= (record["PersDeathDate"] or "") <= last else None,
            }
            for record in records["people"]
            if record["LocalPatientID"] in known
        ],
        "registrations": [
            until_then(record, "EndDateGMPRegistration")
            for record in in_force("registrations", "StartDateGMPRegistration", "EndDateGMPRegistration")
            if record["LocalPatientID"] in known
        ],
        "accommodation": [
            record for record in records["accommodation"] if record["LocalPatientID"] in known and record["AccommodationTypeDate"] <= last
        ],
        "employment": [
            until_then(record, "EmployStatusEndDate")
            for record in records["employment"]
            if record["LocalPatientID"] in known and (record["EmployStatusRecDate"] or "") <= last
        ],
        "referrals": referrals,
        "other_teams": [until_then(record, "ReferClosureDate", "ReferClosReason") for record in in_force("other_teams", "since", "ReferClosureDate")],
        "contacts": contacts,
        "activities": activities,
        "staff_activity": [record for record in activities if record["CareProfLocalID"]],
        "indirect": [record for record in records["indirect"] if first <= record["IndirectActDate"] <= last],
        "spells": [until_then(record, "DischDateHospProvSpell") for record in in_force("spells", "StartDateHospProvSpell", "DischDateHospProvSpell")],
        "wards": [until_then(record, "EndDateWardStay") for record in in_force("wards", "StartDateWardStay", "EndDateWardStay")],
        "staff": list(records["staff"]),
        "teams": [record for record in records["teams"] if record["since"] <= last],
    }


class _Writer:
    """Writes one trust's history, person by person."""

    def __init__(self, about: Variety, number: int, places: Places, rng: Random) -> None:
        self.about, self.trust, self.number, self.places, self.rng = about, about.trusts[number], number, places, rng
        periods = list(months(about))
        self.first = date.fromisoformat(bounds(periods[0])[0])
        self.last = date.fromisoformat(bounds(periods[-1])[1])
        kinds = "people addresses registrations accommodation employment referrals other_teams contacts activities indirect spells wards staff teams"
        self.records: dict[str, list[Record]] = {kind: [] for kind in kinds.split()}
        teams = about.content["teams"]
        self.opening = {team["id"]: f"{team.get('since', '2020-01')}-01" for team in teams}
        self.serves = {team["id"]: team.get("home") for team in teams}
        self.ips = [team["id"] for team in teams if team["role"] == "ips"]
        self.clinical = [team["id"] for team in teams if team["role"] == "clinical"]
        self.staff = [f"S{position:03d}" for position in range(1, 9)]
        self.serial = 10_000 * (number + 1)

    def write(self, before: History | None) -> History:
        self._organisation()
        for position in range(1, self.trust.people + 1):
            self._person(f"P{position:05d}", before)
        self._canary()
        self._recorded_badly()
        # A person's last address must come last, as ``month`` takes it.
        self.records["addresses"].sort(key=lambda record: (record["LocalPatientID"], record["since"]))
        return History(self.trust, self.records)

    def _organisation(self) -> None:
        for team in self.about.content["teams"]:
            self.records["teams"].append(
                {
                    "CareProfTeamLocalID": team["id"],
                    "ServTeamTypeMH": team["type"],
                    "ServTeamIntAgeGroup": team["ages"],
                    "since": self.opening[team["id"]],
                }
            )
        for local in self.staff:
            self.records["staff"].append({"CareProfLocalID": local, "CareProfStaffGpMH": self._pick("CareProfStaffGpMH")})

    def _person(self, local: str, before: History | None) -> None:
        rng, rare = self.rng, self.rng.random()
        born = self._day(date(1958, 1, 1), date(2008, 12, 31))
        nhs: str | None = self._next_nhs()
        twin: Record | None = None
        if before and self._chance(self.about.content["shared_people"] / 1000):
            known = rng.choice([record for record in before.records["people"] if record["NHSNumber"] and record["PersonBirthDate"]])
            held = {record["NHSNumber"] for record in self.records["people"]} | set(Canary.of(self.number - 1).values)
            if known["NHSNumber"] not in held:
                nhs, born = known["NHSNumber"], date.fromisoformat(known["PersonBirthDate"])
                twin = known if self.about.content["shared_alike"] else None
        if rare < 0.02:
            nhs, twin = None, None
        gender = self._pick("Gender")
        home = rng.choice(self.trust.homes)
        opening = self._opening(home)
        person = {
            "LocalPatientID": local,
            "OrgIDEduEstab": rng.choice(self.about.content["schools"]) if born.year >= 2007 else None,
            "NHSNumber": nhs,
            "NHSNumberStatus": ("01" if self._chance(0.95) else "02") if nhs else "07",
            "surname": rng.choice(self.about.content["surnames"]),
            "forename": rng.choice(self.about.content["forenames"]),
            "PersonBirthDate": None if 0.02 < rare < 0.025 else born.isoformat(),
            "Gender": gender,
            "GenderIDCode": rng.choice(["3", "4", "X", "Z"]) if self._chance(0.05) else gender if gender in ("1", "2") else None,
            "MaritalStatus": self._pick("MaritalStatus"),
            "EthnicCategory": self._pick("EthnicCategory") if self._chance(0.98) else None,
            "LanguageCodePreferred": "en" if self._chance(0.9) else None,
            "PersDeathDate": None,
        }
        self.records["people"].append(person)
        self._homes(local, home, opening, rare)
        if before and twin:
            person |= {name: twin[name] for name in ("NHSNumberStatus", "Gender", "GenderIDCode", "EthnicCategory")} | {"NHSNumber": nhs}
            own = [
                {**address, "LocalPatientID": local} for address in before.records["addresses"] if address["LocalPatientID"] == twin["LocalPatientID"]
            ]
            self.records["addresses"] = [address for address in self.records["addresses"] if address["LocalPatientID"] != local] + own
        self._practices(local, home, born, rare)
        if self._chance(0.6):
            self.records["accommodation"].append(
                {
                    "LocalPatientID": local,
                    "AccommodationType": self._pick("AccommodationType"),
                    "SettledAccommodationInd": "Y",
                    "AccommodationTypeDate": self._day(opening - timedelta(days=60), opening).isoformat(),
                }
            )
        referrals = 2 if self._chance(0.15) else 1
        supported = False
        for turn in range(referrals):
            closed, route = self._referral(local, f"R{local[1:]}{'ABC'[turn]}", home, opening)
            supported = supported or route != "none"
            if closed is None or closed + timedelta(days=40) > self.last:
                break
            opening = self._day(closed + timedelta(days=10), min(self.last - timedelta(days=5), closed + timedelta(days=150)))
        if supported or self._chance(0.2):
            self._working_life(local, opening)
        if 0.03 < rare < 0.036 and (open_one := self._open_referral(local)):
            # A death closes what is open; the death itself is returned in its month only.
            died = self._day(max(self.first, date.fromisoformat(open_one["ReferralRequestReceivedDate"])), self.last)
            person["PersDeathDate"] = died.isoformat()
            self._close(open_one, died, "06")

    def _opening(self, home: str) -> date:
        """The day of somebody's first referral: ``openings`` weighs equal parts of the time, for a sub-ICB or else for all."""
        begin, end = self.first - timedelta(days=self.about.content["history_days"]), self.last - timedelta(days=5)
        weights = self.about.content["openings"].get(home, self.about.content["openings"]["all"])
        if len(weights) > 1:
            part = self.rng.choices(range(len(weights)), weights)[0]
            length = (end - begin).days // len(weights)
            begin, end = begin + timedelta(days=part * length), begin + timedelta(days=(part + 1) * length - 1)
        return self._day(begin, end)

    def _homes(self, local: str, home: str, opening: date, rare: float) -> None:
        def live(since: date, postcode: str | None) -> None:
            self.records["addresses"].append({"LocalPatientID": local, "since": since.isoformat(), "Postcode": postcode})

        if 0.04 < rare < 0.055:
            live(date(2015, 1, 1), None)
        elif 0.055 < rare < 0.075:
            live(date(2015, 1, 1), self.rng.choice(self.places.odd_postcodes))
        else:
            live(date(2015, 1, 1), self.rng.choice(self.places.postcodes[home]))
        if self._chance(0.06):
            live(self._day(opening, self.last), self.rng.choice(self.places.postcodes[self.rng.choice(sorted(self.places.postcodes))]))

    def _practices(self, local: str, home: str, born: date, rare: float) -> None:
        def join(practice: str, since: date, until: date | None = None) -> None:
            self.records["registrations"].append(
                {
                    "LocalPatientID": local,
                    "GMPReg": practice,
                    "StartDateGMPRegistration": since.isoformat(),
                    "EndDateGMPRegistration": until.isoformat() if until else None,
                }
            )

        since = self._day(max(born, date(1995, 1, 1)), date(2024, 9, 1)) if born < date(2024, 8, 1) else born
        practices = self.places.practices[home]
        if 0.08 < rare < 0.10:
            join("V81997", since)  # no registered practice
        elif 0.10 < rare < 0.11:
            join("V81999", since)  # practice not known
        elif 0.11 < rare < 0.125:
            join(self.rng.choice(self.places.odd_practices), since)
        elif 0.125 < rare < 0.13:
            join(self.rng.choice(self.places.closed_practices), since)
        elif self._chance(0.08):
            change = self._day(self.first, self.last)
            one, other = self.rng.sample(list(practices), 2)
            join(one, since, change)
            join(other, change)
        else:
            join(self.rng.choice(practices), since)

    def _referral(self, local: str, reference: str, home: str, received: date) -> tuple[date | None, str]:
        """Write a referral with all that belongs to it; its closing day, and its route to employment support."""
        rng = self.rng
        route = rng.choices(list(self.about.content["routes"]), list(self.about.content["routes"].values()))[0]
        team = rng.choice(self._open_teams(self.ips if route in ("own", "both") else self.clinical, received, home))
        lasts = timedelta(days=rng.randint(40, 420))
        closed = received + lasts if self._chance(0.75) and received + lasts <= self.last else None
        if closed is not None and closed < self.first:
            closed = None
        record: Record = {
            "ServiceRequestID": reference,
            "LocalPatientID": local,
            "OrgIDComm": home,
            "CareProfTeamLocalID": team,
            "ReferralRequestReceivedDate": received.isoformat(),
            "ReferralRequestReceivedTime": f"{rng.randint(8, 17):02d}:{rng.choice((0, 15, 30, 45)):02d}:00",
            "SourceOfReferralMH": self._pick("SourceOfReferralMH") if self._chance(0.98) else None,
            "OrgIDReferringOrg": rng.choice(self.about.content["referring_organisations"]) if self._chance(0.4) else None,
            "ClinRespPriorityType": self._pick("ClinRespPriorityType"),
            "PrimReasonReferralMH": self._pick("PrimReasonReferralMH"),
            "ServDischDate": None,
            "ReferClosReason": None,
            "ReferRejectionDate": None,
            "ReferRejectReason": None,
            "deleted": "1" if self._chance(0.01) else "0",
        }
        self.records["referrals"].append(record)
        if self._chance(0.05) and received >= self.first:
            turned_down = min(self.last, received + timedelta(days=rng.randint(1, 12)))
            record |= {"ReferRejectionDate": turned_down.isoformat(), "ReferRejectReason": self._pick("ReferRejectReason")}
            return turned_down, "none"
        if closed is not None:
            record |= {"ServDischDate": closed.isoformat(), "ReferClosReason": self._pick("ReferClosReason")}
        second = self._second_team(record, team, route, received, closed)
        if record["deleted"] == "0":
            self._contacts(record, route, second, closed)
            if self._chance(0.06) and route != "own":
                self._hospital(record, received, closed)
        return closed, route

    def _second_team(self, record: Record, team: str, route: str, received: date, closed: date | None) -> Record | None:
        teams = self._open_teams(self.ips if route in ("second", "both") else self.clinical, received, record["OrgIDComm"])
        choices = [other for other in teams if other != team]
        if (route not in ("second", "both") and not self._chance(0.05)) or not choices:
            return None
        joined = received + timedelta(days=self.rng.randint(0, 30))
        if joined > min(self.last, closed or self.last):
            joined = received
        left = self._day(joined, closed) if closed and joined < closed and self._chance(0.5) else closed
        if left is not None and left < self.first:
            left = closed
        other = {
            "ServiceRequestID": record["ServiceRequestID"],
            "OtherCareProfTeamLocalID": self.rng.choice(choices),
            "since": joined.isoformat(),
            "ReferClosureDate": left.isoformat() if left else None,
            "ReferClosReason": self._pick("ReferClosReason") if left else None,
        }
        self.records["other_teams"].append(other)
        return other

    def _contacts(self, record: Record, route: str, second: Record | None, closed: date | None) -> None:
        rng, reference = self.rng, record["ServiceRequestID"]
        if self._chance(0.08):
            return  # waiting, or never seen
        day = date.fromisoformat(record["ReferralRequestReceivedDate"]) + timedelta(days=rng.randint(0, 40))
        until, count = closed or self.last, 0
        while day <= until:
            if day >= self.first:
                count += 1
                contact = f"{reference}C{count:02d}"
                by_second = second is not None and second["since"] <= day.isoformat() <= (second["ReferClosureDate"] or _OPEN) and self._chance(0.6)
                team = second["OtherCareProfTeamLocalID"] if second is not None and by_second else None
                attended = self._contact(contact, reference, day, team, first=count == 1)
                if attended and (route == "coded" or self._chance(0.3)):
                    self._activity(f"{contact}A1", contact, route)
                if self._chance(0.04):
                    self._indirect(reference, day, team)
            day += timedelta(days=rng.choice((7, 14, 14, 21, 28, 42)))

    def _contact(self, contact: str | None, reference: str, day: date, team: str | None, *, first: bool = False, **other: Any) -> bool:
        attendance = self._pick("AttendStatus")
        self.records["contacts"].append(
            {
                "CareContactID": contact,
                "ServiceRequestID": reference,
                "OtherCareProfTeamLocalID": team,
                "CareContDate": day.isoformat(),
                "CareContTime": f"{self.rng.randint(8, 18):02d}:{self.rng.choice((0, 15, 30, 45)):02d}:00",
                "ClinContDurOfCareCont": self.rng.choice((20, 30, 45, 60, 90)),
                "ConsType": "01" if first else "02",
                "ConsMechanismMH": self._pick("ConsMechanismMH"),
                "ActLocTypeCode": self._pick("ActLocTypeCode"),
                "AttendStatus": attendance,
                "note": None,
                "deleted": "1" if self._chance(0.005) else "0",
                **other,
            }
        )
        return attendance in ("5", "6")

    def _activity(self, activity: str | None, contact: str, route: str, **other: Any) -> None:
        chance = self.rng.random()
        record: Record = {
            "CareActID": activity,
            "CareContactID": contact,
            "ClinContactDurOfCareAct": self.rng.choice((10, 20, 30)),
            "Procedure": None,
            "FindSchemeInUse": None,
            "Finding": None,
            "Observation": None,
            "ObsValue": None,
            "UnitofMeasurement_UCUM": None,
            "CareProfLocalID": self.rng.choice(self.staff) if self._chance(0.5) else None,
        }
        if chance < 0.08:
            record |= {"FindSchemeInUse": "04", "Finding": "35489007"}
        elif chance < 0.12:
            record |= {"Observation": "27113001", "ObsValue": str(self.rng.randint(50, 110)), "UnitofMeasurement_UCUM": "kg"}
        else:
            record["Procedure"] = self._pick("coded" if route == "coded" else "other")
        self.records["activities"].append(record | other)

    def _indirect(self, reference: str, day: date, team: str | None) -> None:
        self.records["indirect"].append(
            {
                "ServiceRequestID": reference,
                "OtherCareProfTeamLocalID": team,
                "CareProfLocalID": self.rng.choice(self.staff) if self._chance(0.6) else None,
                "IndirectActDate": day.isoformat(),
                "IndirectActTime": "12:00:00",
                "DurationIndirectAct": self.rng.choice((10, 15, 30)),
                "IndActProcedure": self._pick("other"),
            }
        )

    def _hospital(self, record: Record, received: date, closed: date | None) -> None:
        reference, until = record["ServiceRequestID"], closed or self.last
        admitted = self._day(max(received, self.first), until) if until > max(received, self.first) else until
        home = admitted + timedelta(days=self.rng.randint(3, 45))
        left = home.isoformat() if home <= until else closed.isoformat() if closed else None
        self.records["spells"].append(
            {
                "HospProvSpellID": f"{reference}H",
                "ServiceRequestID": reference,
                "StartDateHospProvSpell": admitted.isoformat(),
                "MethAdmMHHospProvSpell": self._pick("MethAdmMHHospProvSpell"),
                "DischDateHospProvSpell": left,
            }
        )
        self.records["wards"].append(
            {
                "WardStayID": f"{reference}W",
                "WardCode": self.rng.choice(("HEATHER", "ROWAN")),
                "HospProvSpellID": f"{reference}H",
                "StartDateWardStay": admitted.isoformat(),
                "EndDateWardStay": left,
            }
        )

    def _working_life(self, local: str, opening: date) -> None:
        """Statuses as they were recorded: out of work, perhaps a job, hours that change, perhaps a loss."""
        employed, hours = self.about.content["employed"], self.about.content["not_employed_hours"]

        def status(recorded: date | None, code: str | None, worked: str | None, since: date | None, until: date | None = None) -> None:
            self.records["employment"].append(
                {
                    "LocalPatientID": local,
                    "EmployStatus": code,
                    "EmployStatusRecDate": recorded.isoformat() if recorded else None,
                    "WeekHoursWorked": worked,
                    "EmployStatusStartDate": since.isoformat() if since else None,
                    "EmployStatusEndDate": until.isoformat() if until else None,
                }
            )

        day = opening + timedelta(days=self.rng.randint(-20, 20))
        if day > self.last:
            return
        story = self.rng.random()
        if story < 0.10:
            status(day, employed, self._pick("WeekHoursWorked"), day - timedelta(days=300))
            return
        job = day + timedelta(days=self.rng.randint(30, 200))
        gets_job = story < 0.50 and job <= self.last
        before = self._pick("EmployStatus")
        status(None if story > 0.98 else day, before, hours if self._chance(0.6) else None, day - timedelta(days=200), job if gets_job else None)
        if not gets_job:
            later = day + timedelta(days=120)
            if story > 0.85 and later <= self.last and before != employed:
                status(later, self._pick("EmployStatus"), hours, None)
            return
        recorded = min(self.last, job + timedelta(days=self.rng.randint(0, 20)))
        loss = job + timedelta(days=self.rng.randint(30, 180))
        loses = story < 0.22 and loss <= self.last
        status(recorded, employed, self._pick("WeekHoursWorked"), job, loss if loses else None)
        more = recorded + timedelta(days=60)
        if loses:
            if loss > recorded:
                status(loss, self.about.content["unemployed"], hours, loss)
        elif story < 0.35 and more <= self.last:
            status(more, employed, self._pick("WeekHoursWorked"), job)

    def _canary(self) -> None:
        canary = Canary.of(self.number)
        person = {
            "LocalPatientID": canary.person,
            "OrgIDEduEstab": None,
            "NHSNumber": canary.nhs,
            "NHSNumberStatus": "01",
            "surname": canary.surname,
            "forename": canary.forename,
            "PersonBirthDate": "1984-02-29",
            "Gender": "2",
            "GenderIDCode": "2",
            "MaritalStatus": "S",
            "EthnicCategory": "A",
            "LanguageCodePreferred": "en",
            "PersDeathDate": None,
        }
        self.records["people"].append(person)
        self.records["addresses"].append({"LocalPatientID": canary.person, "since": "2015-01-01", "Postcode": canary.postcode})
        home = self.trust.homes[0]
        self._practices(canary.person, home, date(1984, 2, 29), 1.0)
        referral = {
            "ServiceRequestID": canary.referral,
            "LocalPatientID": canary.person,
            "OrgIDComm": home,
            "CareProfTeamLocalID": self.ips[0],
            "ReferralRequestReceivedDate": self.first.isoformat(),
            "ReferralRequestReceivedTime": "09:00:00",
            "SourceOfReferralMH": "A1",
            "OrgIDReferringOrg": None,
            "ClinRespPriorityType": "3",
            "PrimReasonReferralMH": "31",
            "ServDischDate": None,
            "ReferClosReason": None,
            "ReferRejectionDate": None,
            "ReferRejectReason": None,
            "deleted": "0",
        }
        self.records["referrals"].append(referral)
        for period in months(self.about):
            day, label = date.fromisoformat(f"{period}-15"), period.replace("-", "")[2:]
            self._contact(f"{canary.contact}-{label}", canary.referral, day, None, note=canary.note, deleted="0")
            self._activity(f"{canary.activity}-{label}", f"{canary.contact}-{label}", "none")
            # Wrong in a way that rejects the row, so that the canary also sits among the rejected ones.
            self._contact(
                f"{canary.contact}-{label}X", canary.referral, day, None, ClinContDurOfCareCont=canary.bad_value, note=canary.note, deleted="0"
            )
        self._working_life(canary.person, self.first + timedelta(days=30))

    def _recorded_badly(self) -> None:
        """Spoil a few records in ways that the standard rejects or warns of, each a small part of the whole."""
        self._spoil_contacts()
        self._spoil_activities()
        self._spoil_referrals()
        self._spoil_people()

    def _some(self, kind: str, how_many: int) -> list[Record]:
        """A few records of a kind, none of them the canary's."""
        found = [
            record for record in self.records[kind] if "CANARY" not in str(record.get("LocalPatientID", "")) + str(record.get("ServiceRequestID", ""))
        ]
        return self.rng.sample(found, min(how_many, len(found)))

    def _spoil_contacts(self) -> None:
        contacts = self.records["contacts"]
        for contact in self._some("contacts", 4):
            contact["CareContactID"] = None
        for contact in self._some("contacts", 4):
            contact["ClinContDurOfCareCont"] = self.rng.choice(("12345", "-5", "1h"))
        contacts += [dict(contact) for contact in self._some("contacts", 5)]
        contacts += [
            {**contact, "CareContactID": f"ORPHAN{number}", "ServiceRequestID": f"NOREF{number}"}
            for number, contact in enumerate(self._some("contacts", 5))
        ]
        contacts += [
            {**contact, "CareContactID": f"{contact['CareContactID']}T", "OtherCareProfTeamLocalID": "T-GONE"}
            for contact in self._some("contacts", 2)
        ]

    def _spoil_activities(self) -> None:
        for activity in self._some("activities", 8):
            activity["Procedure"] = self._pick("coded_badly")
        for activity in self._some("activities", 2):
            activity["CareActID"] = None
        for activity in self._some("activities", 2):
            activity |= {"FindSchemeInUse": None, "Finding": "F205"}
        for work in self._some("indirect", 1):
            work["OtherCareProfTeamLocalID"] = "T-GONE"

    def _spoil_referrals(self) -> None:
        for referral in self._some("referrals", 2):
            referral["CareProfTeamLocalID"] = None
        closed = [referral for referral in self.records["referrals"] if referral["ServDischDate"]]
        for referral in self.rng.sample(closed, min(2, len(closed))):
            referral["ReferClosReason"] = "99"
        self.records["referrals"] += [{**referral, "SourceOfReferralMH": "B1"} for referral in self._some("referrals", 1)]

    def _spoil_people(self) -> None:
        too_early, too_late, no_space, a_dash = self._some("people", 4)
        too_early["PersonBirthDate"] = "1880-01-01"
        too_late["PersonBirthDate"] = "2031-05-17"
        spoilt = {no_space["LocalPatientID"]: "", a_dash["LocalPatientID"]: "-"}
        for address in self.records["addresses"]:
            if address["Postcode"] and address["LocalPatientID"] in spoilt:
                address["Postcode"] = address["Postcode"].replace(" ", spoilt[address["LocalPatientID"]])
        for registration in self._some("registrations", 2):
            # Left the practice and joined no other.
            registration["EndDateGMPRegistration"] = registration["EndDateGMPRegistration"] or self._day(self.first, self.last).isoformat()
        for registration in self._some("registrations", 1):
            registration["GMPReg"] = None
        self.records["employment"] += [{**status, "EmployStatus": "04", "WeekHoursWorked": None} for status in self._some("employment", 2)]
        for status in self._some("employment", 2):
            status["EmployStatus"] = None
        for status in self._some("employment", 1):
            status["EmployStatusStartDate"] = "2025-02-30"

    def _close(self, referral: Record, day: date, reason: str) -> None:
        """Close a referral, and take out what would have happened to it later."""
        reference, text = referral["ServiceRequestID"], day.isoformat()
        referral |= {"ServDischDate": text, "ReferClosReason": reason}
        gone = {
            record["CareContactID"]
            for record in self.records["contacts"]
            if record["ServiceRequestID"] == reference and record["CareContDate"] > text
        }
        for kind, when in (("contacts", "CareContDate"), ("indirect", "IndirectActDate"), ("spells", "StartDateHospProvSpell")):
            self.records[kind] = [record for record in self.records[kind] if record["ServiceRequestID"] != reference or record[when] <= text]
        self.records["activities"] = [record for record in self.records["activities"] if record["CareContactID"] not in gone]
        spells = {record["HospProvSpellID"] for record in self.records["spells"]}
        self.records["wards"] = [record for record in self.records["wards"] if record["HospProvSpellID"] in spells]
        self.records["other_teams"] = [
            record for record in self.records["other_teams"] if record["ServiceRequestID"] != reference or record["since"] <= text
        ]
        for kind, end in (("other_teams", "ReferClosureDate"), ("spells", "DischDateHospProvSpell")):
            for record in self.records[kind]:
                if record["ServiceRequestID"] == reference and (record[end] or _OPEN) > text:
                    record[end] = text
                    if kind == "other_teams":
                        record["ReferClosReason"] = reason
        for record in self.records["wards"]:
            if record["HospProvSpellID"] == f"{reference}H" and (record["EndDateWardStay"] or _OPEN) > text:
                record["EndDateWardStay"] = text

    def _open_referral(self, local: str) -> Record | None:
        found = [record for record in self.records["referrals"] if record["LocalPatientID"] == local]
        return found[-1] if found[-1]["ServDischDate"] is None and found[-1]["ReferRejectionDate"] is None else None

    def _open_teams(self, teams: Sequence[str], day: date, home: str) -> list[str]:
        return [team for team in teams if self.opening[team] <= day.isoformat() and self.serves[team] in (None, home)]

    def _next_nhs(self) -> str:
        while True:
            self.serial += 1
            if number := nhs_number(self.serial):
                return number

    def _pick(self, name: str) -> str | None:
        return self.about.pick(name, self.rng)

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _day(self, first: date, last: date) -> date:
        return first + timedelta(days=self.rng.randint(0, max(0, (last - first).days)))
