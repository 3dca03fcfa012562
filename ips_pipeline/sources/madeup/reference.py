"""Reference data of an invented country: places, practices, organisations, deprivation, populations and census counts."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from ips_pipeline.sources.madeup.people import Places, Variety

#: A letter for each sub-ICB, in its postcodes and practices; canaries and odd places have others.
_LETTERS = "ABCDEFGHLMNPQRSTUVY"

#: LSOAs, postcodes of each LSOA, and practices of a sub-ICB.
_LSOAS, _POSTCODES, _PRACTICES = 10, 3, 6

#: Ages with a population row, by single year up to the open band at 90; and ages of the census rows.
_AGES = range(0, 91)
_CENSUS_AGES = range(0, 86, 5)

#: Groups of the Census 2021 table; -8 does not apply.
_CENSUS_GROUPS = (-8, *range(1, 20))

_ALWAYS = "2013-04-01"


def places(about: Variety) -> Places:
    """The postcodes and practices of each sub-ICB, and the odd ones."""
    postcodes: dict[str, list[str]] = {}
    practices: dict[str, list[str]] = {}
    for number, area in enumerate(about.content["sub_icbs"]):
        postcodes[area["SubICB"]] = [postcode for lsoa in range(_LSOAS) for postcode in _postcodes(number, lsoa)]
        practices[area["SubICB"]] = [f"{_LETTERS[number]}9{number % 10}{practice:03d}" for practice in range(1, _PRACTICES + 1)]
    return Places(
        postcodes,
        practices,
        [item["Postcode"] for item in about.content["odd_postcodes"]],
        list(about.content["odd_practices"]),
        list(about.content["closed_practices"]),
    )


def write(folder: Path, about: Variety, where: Places, rng: Random) -> None:
    """Write the reference folder, one CSV per kind of reference data."""
    folder.mkdir()
    areas: Sequence[Mapping[str, Any]] = about.content["sub_icbs"]
    odd = about.content["odd_practices"]
    _csv(folder / "providers.csv", ("OrgIDProvider", "Name"), ((trust.code, trust.name) for trust in about.trusts))
    practices = [(practice, area) for area, listed in where.practices.items() for practice in listed]
    practices += [*odd.items(), *((practice, areas[0]["SubICB"]) for practice in where.closed_practices)]
    _csv(folder / "gp_practices.csv", ("GMPReg", "SubICB"), sorted(practices))
    postcodes = [
        (postcode, _lsoa(number, lsoa), _district(number), area["SubICB"])
        for number, area in enumerate(areas)
        for lsoa in range(_LSOAS)
        for postcode in _postcodes(number, lsoa)
    ]
    postcodes += [tuple(item[key] for key in ("Postcode", "LSOA2011", "LADistrictAuth", "SubICB")) for item in about.content["odd_postcodes"]]
    _csv(folder / "postcodes.csv", ("Postcode", "LSOA2011", "LADistrictAuth", "SubICB"), postcodes)
    columns = ("SubICB", "SubICBName", "SubICB_ONS", "ICB", "ICBName", "Region", "RegionName")
    _csv(folder / "geography.csv", columns, ([area[column] for column in columns] for area in areas))
    _csv(folder / "commissioner_code_changes.csv", ("OldSubICB", "NewSubICB"), about.content["commissioner_code_changes"].items())
    lsoas = [_lsoa(number, lsoa) for number in range(len(areas)) for lsoa in range(_LSOAS)]
    _csv(folder / "lsoa_imd2019.csv", ("LSOA2011", "IMDDecile2019"), ((lsoa, position % 10 + 1) for position, lsoa in enumerate(lsoas)))
    _csv(
        folder / "population_subicb.csv",
        ("SubICB_ONS", "Gender", "Age", "Population"),
        ((area["SubICB_ONS"], gender, age, rng.randint(2_000, 6_000)) for area in areas for gender in "MF" for age in _AGES),
    )
    _csv(
        folder / "population_lsoa.csv",
        ("LSOA2011", "Gender", "Age", "Population"),
        ((lsoa, gender, age, rng.randint(5, 40)) for lsoa in lsoas for gender in "MF" for age in _AGES),
    )
    _csv(
        folder / "census2021_ethnicity.csv",
        ("SubICB_ONS", "Age", "Sex", "EthnicGroupCode", "Observation"),
        (
            (area["SubICB_ONS"], age, sex, group, 0 if group == -8 else rng.randint(20, 900))
            for area in areas
            for age in _CENSUS_AGES
            for sex in (1, 2)
            for group in _CENSUS_GROUPS
        ),
    )
    closed = about.content["closed_practices"]
    codes = {trust.code for trust in about.trusts} | {area["SubICB"] for area in areas} | {practice for practice, _ in practices}
    codes |= {*about.content["sites"], *about.content["referring_organisations"]}
    _csv(folder / "organisations.csv", ("code", "live_from", "live_to"), ((code, _ALWAYS, closed.get(code, "")) for code in sorted(codes)))
    _csv(folder / "schools.csv", ("code", "live_from", "live_to"), ((code, _ALWAYS, "") for code in about.content["schools"]))


def _lsoa(area: int, number: int) -> str:
    return f"E01{90 + area:03d}{number:03d}"


def _district(area: int) -> str:
    return f"E08009{area:03d}"


def _postcodes(area: int, lsoa: int) -> list[str]:
    """Postcodes of an area that does not exist: no postcode starts with X."""
    return [f"X{_LETTERS[area]}{lsoa + 1} {number}AA" for number in range(1, _POSTCODES + 1)]


def _csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
