"""Somebody who has everything that was released together tries to work out the numbers that are hidden in it.

What such a reader knows: a hidden number is at least 1; nought is nought; a shown one lies within two of what is shown and is 5 or more;
which numbers make up which. The readers here are written apart from the code they attack: one follows bounds from sum to sum until
nothing more can be concluded, the other tries every table that fits.
"""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ips_pipeline.measures import compute, registry
from ips_pipeline.measures.disclosure import Cells, Flags, Parts, Rule, hide
from ips_pipeline.store import folders

CASE = Path(__file__).resolve().parents[1] / "conformance" / "case-small"
PERIODS = ("2026-08", "2026-09")
ENDLESS = 10**9
SMALL = range(1, 5)


@dataclass
class Reader:
    """What is known of each number as (least, most), and which of them make up which: (total, parts)."""

    known: dict[Hashable, tuple[int, int]] = field(default_factory=dict)
    sums: list[tuple[Hashable, Sequence[Hashable]]] = field(default_factory=list)

    def sees(self, number: Hashable, shown: int | None) -> None:
        """A shown number is nought or to the nearest five; None is a hidden one."""
        least, most = (1, ENDLESS) if shown is None else (0, 0) if shown == 0 else (max(shown - 2, 5), shown + 2)
        before = self.known.get(number, (0, ENDLESS))
        self.known[number] = max(before[0], least), min(before[1], most)

    def concludes(self) -> None:
        """Follow the sums until they say nothing new. A part is never more than its total."""
        numbers = list(self.known)
        place = {number: index for index, number in enumerate(numbers)}
        least, most = (np.array([bounds[side] for bounds in self.known.values()], np.int64) for side in (0, 1))
        total = np.array([place[number] for number, _ in self.sums], np.int64)
        of = np.repeat(np.arange(len(self.sums)), [len(parts) for _, parts in self.sums])
        part = np.array([place[number] for _, parts in self.sums for number in parts], np.int64)
        while True:
            before = least.copy(), most.copy()
            low, high = (np.bincount(of, weights=bound[part], minlength=len(total)).astype(np.int64) for bound in before)
            np.maximum.at(least, total, low)
            np.minimum.at(most, total, high)
            np.maximum.at(least, part, before[0][total][of] - (high[of] - before[1][part]))
            np.minimum.at(most, part, before[1][total][of] - (low[of] - before[0][part]))
            if np.array_equal(before[0], least) and np.array_equal(before[1], most):
                break
        self.known = dict(zip(numbers, zip(least.tolist(), most.tolist(), strict=True), strict=True))

    def narrow(self, truth: Mapping[Hashable, int]) -> list[Hashable]:
        """The numbers from 1 to 4 of which fewer than four values remain possible."""
        for number, value in truth.items():
            least, most = self.known[number]
            assert least <= value <= most, f"{number}: the reader went wrong"
        return [number for number, value in truth.items() if value in SMALL and self.known[number][1] - self.known[number][0] < 3]


def shown(value: int, hidden: bool) -> int | None:
    return None if hidden else (value + 2) // 5 * 5


def relations(sums: Sequence[tuple[int, Sequence[int], bool]], pools: Sequence[tuple[int, int]] = ()) -> Parts:
    entries = [(relation, total, part, share, False) for relation, (total, parts, share) in enumerate(sums) for part in parts]
    entries += [(len(sums) + relation, longer, shorter, False, True) for relation, (longer, shorter) in enumerate(pools)]
    columns = [np.array(column, np.int64) for column in zip(*entries, strict=True)]
    return Parts(columns[0], columns[1], columns[2], columns[3].astype(np.bool_), columns[4].astype(np.bool_))


def hiding(amounts: Sequence[int], parts: Parts, earlier: Sequence[int] = (), unseen: Sequence[int] = ()) -> Flags:
    """Which of these numbers are hidden."""
    places = np.arange(len(amounts))
    return hide(Cells(np.array(amounts), np.isin(places, earlier), np.isin(places, unseen)), parts, Rule(5, 5))


counts = st.lists(st.one_of(st.integers(0, 6), st.integers(0, 40)), min_size=1, max_size=5)


@settings(deadline=None)
@given(
    trusts=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=4), min_size=1, max_size=5),
    cuts=st.lists(st.lists(st.integers(0, 100), max_size=5), max_size=3),
    share=st.integers(0, 100),
)
def test_sums_over_levels_give_no_small_number_away(trusts: list[list[int]], cuts: list[list[int]], share: int) -> None:
    """Teams make up trusts and trusts the whole, which is also divided in other ways, and is part of something larger."""
    amounts: list[int] = []
    sums: list[tuple[int, list[int], bool]] = []

    def add(value: int) -> int:
        amounts.append(value)
        return len(amounts) - 1

    whole = add(sum(map(sum, trusts)))
    by_trust = []
    for teams in trusts:
        trust = add(sum(teams))
        by_trust.append(trust)
        sums.append((trust, [add(team) for team in teams], False))
    sums.append((whole, by_trust, False))
    for cut in cuts:
        at = [0, *sorted(amounts[whole] * place // 100 for place in cut), amounts[whole]]
        sums.append((whole, [add(high - low) for low, high in itertools.pairwise(at)], False))
    larger = add(amounts[whole] + share)
    sums.append((larger, [whole], True))
    hidden = hiding(amounts, relations(sums))

    assert all(hidden[number] for number, value in enumerate(amounts) if value in SMALL)
    assert not any(hidden[number] for number, value in enumerate(amounts) if value == 0)
    reader = Reader(sums=[(total, [*parts, "rest"] if share_of else parts) for total, parts, share_of in sums])
    for number, value in enumerate(amounts):
        reader.sees(number, shown(value, bool(hidden[number])))
    reader.known["rest"] = (0, ENDLESS)
    reader.concludes()
    assert reader.narrow({**dict(enumerate(amounts)), "rest": share}) == []


@settings(deadline=None)
@given(cells=st.lists(st.one_of(st.integers(0, 5), st.integers(0, 14)), min_size=4, max_size=4))
def test_no_table_with_both_totals_leaves_only_one_value(cells: list[int]) -> None:
    """Two by two with every total: a reader who tries all tables that fit is left with more than one value for every small number."""
    (a, b), (c, d) = cells[:2], cells[2:]
    amounts = [a, b, c, d, a + b, c + d, a + c, b + d, sum(cells)]
    sums = [(4, [0, 1], False), (5, [2, 3], False), (6, [0, 2], False), (7, [1, 3], False), (8, [4, 5], False), (8, [6, 7], False)]
    hidden = hiding(amounts, relations(sums))

    def bounds(number: int) -> tuple[int, int]:
        reader = Reader()
        reader.sees(number, shown(amounts[number], bool(hidden[number])))
        return reader.known[number]

    axes = [np.arange(bounds(number)[0], min(bounds(number)[1], 24) + 1) for number in range(4)]
    table = np.meshgrid(*axes, indexing="ij", sparse=True)
    fits = np.ones([len(axis) for axis in axes], np.bool_)
    for number, members in ((4, (0, 1)), (5, (2, 3)), (6, (0, 2)), (7, (1, 3)), (8, (0, 1, 2, 3))):
        total = sum(table[member] for member in members)
        fits &= (total >= bounds(number)[0]) & (total <= bounds(number)[1])
    for number in range(4):
        if amounts[number] in SMALL:
            possible = fits.any(axis=tuple(other for other in range(4) if other != number)).sum()
            assert possible > 1, f"only one value is possible for number {number}"


def test_a_rolling_count_of_two_months_gives_nobody_away_who_entered_or_left() -> None:
    """The count now is the count of last month's release and those who entered, less those who left; all four are released."""
    for before, entered, left in itertools.product(range(0, 25, 2), range(9), range(9)):
        if left > before:
            continue
        amounts = [before, entered, left, before + entered - left, before + entered]
        hidden = hiding(amounts, relations([(4, [0, 1], False), (4, [3, 2], False)]), earlier=[0], unseen=[4])
        assert hidden[0] == (before in SMALL), "last month's release cannot be changed any more"
        reader = Reader(sums=[(4, [0, 1]), (4, [3, 2])])
        for number in range(4):
            reader.sees(number, shown(amounts[number], bool(hidden[number])))
        reader.known[4] = (0, ENDLESS)
        reader.concludes()
        assert reader.narrow(dict(enumerate(amounts[1:4], 1))) == [], amounts


@settings(deadline=None)
@given(levels=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5))
@example(levels=[(0, 5, 0), (1, 5, 2), (2, 5, 1)])
def test_a_longer_period_less_a_shorter_one_gives_nobody_away(levels: list[tuple[int, int, int]]) -> None:
    """Counts of the last 12, 24 and 36 months by level, each with its total: who came in the years before counts as a number too."""
    by_pool = [[sum(level[: years + 1]) for level in levels] for years in range(3)]
    # A pool after the other, each its total and then its levels.
    amounts = [value for pool in by_pool for value in (sum(pool), *pool)]
    width = 1 + len(levels)
    sums = [(years * width, list(range(years * width + 1, (years + 1) * width)), False) for years in range(3)]
    pools = [(number + width, number) for number in range(2 * width)]
    hidden = hiding(amounts, relations(sums, [pair for pair in pools if amounts[pair[1]]]))
    reader = Reader(sums=[*((total, parts) for total, parts, _ in sums), *((longer, [shorter, ("before", longer)]) for longer, shorter in pools)])
    # Those of the years before add up over the levels too.
    for years in (1, 2):
        reader.sums.append((("before", years * width), [("before", years * width + level) for level in range(1, width)]))
    for number, value in enumerate(amounts):
        reader.sees(number, shown(value, bool(hidden[number])))
    rest = {("before", longer): amounts[longer] - amounts[shorter] for longer, shorter in pools}
    reader.known |= dict.fromkeys(rest, (0, ENDLESS))
    reader.concludes()
    assert reader.narrow(dict(enumerate(amounts)) | rest) == []


@settings(deadline=None)
@given(amounts=counts)
def test_what_need_not_be_hidden_is_shown(amounts: list[int]) -> None:
    """Without a total nothing can be worked out, so only the small numbers are hidden."""
    nothing = Parts(*(np.zeros(0, np.int64) for _ in range(3)), *(np.zeros(0, np.bool_) for _ in range(2)))  # type: ignore[arg-type]
    assert [value in SMALL for value in amounts] == hiding(amounts, nothing).tolist()


@pytest.mark.parametrize(
    ("parts", "hidden"),
    [
        # Shown 10, 5, 5: what is left for the two ones is at most 2, so one of the fives goes too.
        ([5, 5, 1, 1], [False, True, False, True, True]),
        # Shown 20 and 15: the hidden one may be anything from 1 to 9.
        ([15, 4], [False, False, True]),
        # Nothing is small, nothing is hidden.
        ([15, 5, 0], [False, False, False, False]),
    ],
)
def test_examples(parts: list[int], hidden: list[bool]) -> None:
    found = hiding([sum(parts), *parts], relations([(0, list(range(1, len(parts) + 1)), False)]))
    assert found.tolist() == hidden


# -- everything that two months' releases of the whole pipeline say together ------------------------------------------------


Row = dict[str, object]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[list[Row], list[Row]]]:
    """Of each month what was released, and the exact numbers that stay behind."""
    found = []
    for period in PERIODS:
        home = tmp_path_factory.mktemp("release")
        # Half a year is enough to be told apart and to be added up, and quicker.
        submissions = [folder for folder in folders.discover(CASE / "submissions") if folder.name >= "2026-04"]
        compute(submissions, CASE / "reference", period, "Performance", home / "exact", release=home / "release")
        columns = ["family", "measure_id", "period_start", "period_end", "breakdown", "level", "level_name", "variant", "numerator", "denominator",
                   "value", "disclosure"]  # fmt: skip
        found.append(tuple(pq.read_table(home / name / "measures.parquet", columns=columns).to_pylist() for name in ("release", "exact")))
    return found  # type: ignore[return-value]


def quantities(row: Row) -> list[tuple[Hashable, str, int | None]]:
    """The counts of people or referrals that a row shows: (number, which column, its value). What a mean adds up is none."""
    measure = MEASURES[str(row["measure_id"])]
    place = (row["period_start"], row["period_end"], row["breakdown"], row["level"], row["level_name"])
    if measure.family == "mhs116":
        return [(("mhs116", "referrals", *place), "numerator", row["numerator"])]  # type: ignore[list-item]
    found: list[tuple[Hashable, str, int | None]] = []
    if measure.kind != "mean":
        found.append(((measure.family, measure.numerator, *place), "numerator", row["numerator"]))  # type: ignore[arg-type]
    if measure.kind == "median" or measure.denominator:
        name = f"{measure.numerator} waiting" if measure.kind == "median" else measure.denominator
        found.append(((measure.family, name, *place), "denominator", row["denominator"]))  # type: ignore[arg-type]
    return found


MEASURES = {measure.id: measure for measure in registry.load().measures}
BREAKDOWNS = {item.name: item for item in registry.load().breakdowns.values()}


def test_a_release_holds_what_may_be_known_and_nothing_else(releases: list[tuple[list[Row], list[Row]]]) -> None:
    for released, _ in releases:
        assert {row["variant"] for row in released if row["disclosure"] != "not evaluated"} == {"local"}
        states = {str(row["disclosure"]) for row in released}
        assert {"rounded", "suppressed", "zero"} <= states <= {"rounded", "suppressed", "zero", "not submitted", "not evaluated"}
        for row in released:
            for _, _, value in quantities(row):
                assert value is None or value % 5 == 0, row["measure_id"]
            if row["disclosure"] in ("suppressed", "not submitted"):
                assert row["value"] is None, row["measure_id"]


def test_no_small_number_can_be_worked_out_from_two_months_of_releases(releases: list[tuple[list[Row], list[Row]]]) -> None:
    exactly = [
        {
            number: int(value)
            for row in exact
            if row["variant"] == "unsuppressed" and row["disclosure"] != "not evaluated"
            for number, _, value in quantities(row)
            if value is not None
        }
        for _, exact in releases
    ]
    reader, truth = Reader(), dict[Hashable, int]()
    for month, (released, _) in enumerate(releases):

        def seen(number: Hashable, month: int = month) -> Hashable:
            """The number itself, or as of this month where the months say different things of it, as of what is yet to come."""
            return number if len({held.get(number) for held in exactly}) == 1 else (*number, month)  # type: ignore[misc]

        for row in released:
            if row["disclosure"] not in ("not submitted", "not evaluated"):
                for number, _, value in quantities(row):
                    reader.sees(seen(number), value)
        truth |= {seen(number): value for number, value in exactly[month].items()}
    small = {number for number, value in truth.items() if value in SMALL}
    assert len(small) > 1000, "there is next to nothing to find, so this proves nothing"
    # Nobody is at a level that only one of the columns of a measure names.
    reader.known = {number: bounds for number, bounds in reader.known.items() if number in truth}
    truth = {number: value for number, value in truth.items() if number in reader.known}
    reader.sums = [
        (total, parts)
        for total, parts in [*levels(truth), *registered_sums(truth)]
        # A reader who takes as a sum what is none concludes nothing that is true.
        if truth[total] == sum(truth[part] for part in parts)
    ]
    assert len(reader.sums) > 1000
    reader.concludes()
    assert reader.narrow(truth) == []


def levels(truth: Mapping[Hashable, int]) -> list[tuple[Hashable, list[Hashable]]]:
    """Each number with those of the levels below it: places in larger places, teams in trusts, groups in everybody."""
    with (CASE / "reference" / "geography.csv").open(encoding="utf-8", newline="") as handle:
        places = list(csv.DictReader(handle))
    above = {row["SubICB"]: row["ICB"] for row in places} | {row["ICB"]: row["Region"] for row in places}
    names = {item.id: item.name for item in registry.load().breakdowns.values()}
    by_place: dict[Hashable, list[Hashable]] = defaultdict(list)
    index: dict[Hashable, Hashable] = {}
    for number in truth:
        family, quantity, start, end, breakdown, level, _, *month = number  # type: ignore[misc]
        index.setdefault((family, quantity, start, end, breakdown, level, *month), number)
    for number in truth:
        family, quantity, start, end, breakdown, level, _, *month = number  # type: ignore[misc]
        if parent := _parent(family, breakdown):
            for candidate in (above.get(level), str(level).partition("|")[0], level, "England", "All"):
                if found := index.get((family, quantity, start, end, names[parent], candidate, *month)):
                    by_place[found, breakdown].append(number)
                    break
    return [(key[0], parts) for key, parts in by_place.items()]  # type: ignore[index]


@cache
def _parent(family: str, name: str) -> str | None:
    """The breakdown above one, which has to be looked for by the family since several have the same name."""
    for item in registry.load().breakdowns.values():
        prefix = "dashboard_" if family == "dashboard" else "" if family == "mhs116" else "by_"
        if item.name == name and (item.id.startswith(prefix) if prefix else not item.id.startswith(("by_", "dashboard_"))):
            return item.within
    return None


def registered_sums(truth: Mapping[Hashable, int]) -> list[tuple[Hashable, list[Hashable]]]:
    """Each number with those that make it up by the registry, at the same place."""
    sums: dict[Hashable, list[registry.Sum]] = defaultdict(list)
    for item in registry.load().sums:
        sums[item.family, item.total].append(item)
    return [
        (number, [part for name in item.parts if (part := (item.family, name, *number[2:])) in truth])  # type: ignore[index]
        for number in truth
        for item in sums.get(number[:2], ())  # type: ignore[index]
    ]
