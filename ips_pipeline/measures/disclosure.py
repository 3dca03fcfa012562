"""Which cells of a local release stay hidden, so that nobody can work a small count out from the others.

Counts of 1 to 4 are hidden, nought is shown as nought, everything else is rounded to five, totals too. A reader knows of a shown cell
that it lies within two of what is shown, of a hidden one that it is at least 1, and which cells make up which. ``hide`` follows what
can be concluded from that to the end, and hides more until every small count keeps at least four possible values. Hiding only ever
widens what a reader must reckon with, so this ends. In a release one sign stands for both kinds of hidden cell: to know that a cell
was hidden for the sake of another would be to know that it is 5 or more.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ips_pipeline.store.duck import Connection

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Larger than any count, and small enough that thousands of it add up exactly.
_ENDLESS = 1 << 38
#: A small count must keep this many possible values.
_POSSIBLE = 4
#: Conclusions that take longer chains than this are not followed.
_SWEEPS = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """Counts from 1 to below ``smallest`` are hidden; the others are rounded to ``base``."""

    smallest: int
    base: int


@dataclass(frozen=True, slots=True)
class Parts:
    """Which cells make up which: an entry per part, with the number of its relation; the arrays are as long as one another.

    Relations are numbered from 0 and their entries stand together. A ``share`` has one part, and what is left of its total is published
    nowhere, but may be a small count itself; so has a ``pool``, a count over fewer months that is part of one over more.
    """

    relation: Numbers
    total: Numbers
    part: Numbers
    share: Flags
    pool: Flags


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells by number: what they count; whether an ``earlier`` release showed them, by the same rule; whether they are ``unseen``."""

    amount: Numbers
    earlier: Flags
    unseen: Flags


def apply(connection: Connection, rule: Rule) -> None:
    """Create ``cell_state``: the rows of ``cell`` with their state (zero, suppressed, secondary or rounded), by way of ``cell_part``."""
    described = _columns(connection, "SELECT amount, earlier, unseen FROM cell ORDER BY cell")
    amount = described["amount"].astype(np.int64)
    cells = Cells(amount, described["earlier"].astype(np.bool_), described["unseen"].astype(np.bool_))
    held = _columns(connection, "SELECT relation, total, part, share, pool FROM cell_part ORDER BY relation, part")
    relation, total, part = (held[name].astype(np.int64) for name in ("relation", "total", "part"))
    parts = Parts(relation, total, part, held["share"].astype(np.bool_), held["pool"].astype(np.bool_))
    hidden = hide(cells, parts, rule)
    state = np.select([amount == 0, (amount > 0) & (amount < rule.smallest), hidden], ["zero", "suppressed", "secondary"], "rounded")
    connection.register("state", pa.table({"cell": np.arange(len(amount)), "state": pa.array(state.tolist(), pa.string())}))
    connection.execute("CREATE TABLE cell_state AS SELECT cell.*, state.state FROM cell INNER JOIN state ON state.cell = cell.cell")
    connection.unregister("state")


def hide(held: Cells, parts: Parts, rule: Rule) -> Flags:
    """Which cells are not shown: the small counts, and what would give one of them away. One flag per cell."""
    world = _World(held, parts, rule)
    while True:
        low, high = world.concluded()
        narrow = world.sensitive & (high - low < _POSSIBLE - 1)
        if not narrow.any() or not world.hide_more(narrow, low, high):
            return world.hidden[: len(held.amount)]


class _World:
    """The cells, what is left of a total besides them (which nobody sees), and what holds between them."""

    def __init__(self, held: Cells, parts: Parts, rule: Rule) -> None:
        amount = held.amount
        cells = len(amount)
        first = np.flatnonzero(np.diff(parts.relation, prepend=-1)) if len(parts.relation) else np.zeros(0, np.int64)
        self.total = parts.total[first]
        share = parts.share[first]
        told_apart = share | parts.pool[first]
        left = amount[self.total] - _add(parts.relation, amount[parts.part], len(first))
        # More in the parts than in the total: some are in two of them, or the measure is faulty; then only bounds hold.
        self.overlaps = left < 0
        remains = np.flatnonzero(told_apart & (left >= 0) | (left > 0))
        self.amount = np.concatenate([amount, left[remains]])
        rest = np.full(len(first), -1)
        rest[remains] = cells + np.arange(len(remains))
        further = _sums_of_rests(amount, parts, first, rest, left)
        self.total = np.concatenate([self.total, np.array([total for total, _ in further], np.int64)])
        self.overlaps = np.concatenate([self.overlaps, np.zeros(len(further), np.bool_)])
        numbers = np.repeat(np.arange(len(first), len(self.total)), [len(members) for _, members in further])
        self.relation = np.concatenate([parts.relation, remains, numbers])
        self.part = np.concatenate([parts.part, rest[remains], np.array([member for _, members in further for member in members], np.int64)])
        # Where a part is more than its total, as in a measure that is faulty as published, nothing holds at all.
        faulty = np.zeros(len(self.total), np.bool_)
        faulty[self.relation[self.amount[self.part] > self.amount[self.total[self.relation]]]] = True
        sound = ~faulty[self.relation]
        self.relation, self.part = self.relation[sound], self.part[sound]
        small = (self.amount > 0) & (self.amount < rule.smallest)
        nowhere = np.ones(len(remains), np.bool_)
        published = np.concatenate([~held.unseen, ~nowhere])
        self.settled = np.concatenate([held.earlier | held.unseen, nowhere])
        self.sensitive = small & np.concatenate([~(held.earlier | held.unseen), told_apart[remains]])
        self.hidden: Flags = small | ~published
        self.least = np.where(published, 1, 0)
        # The rest of a share is as sensitive as the share, and a share that leaves a small rest is hidden with it. Those whom a longer period
        # has and a shorter one has not are so too, but rounding both periods keeps them apart unless other numbers narrow them.
        beside = self.part[np.isin(self.relation, remains[share[remains] & small[cells:]])]
        self.hidden[beside[self.amount[beside] > 0]] = True
        rounded = (self.amount + rule.base // 2) // rule.base * rule.base
        self.shown_low = np.maximum(rounded - rule.base // 2, rule.smallest)
        self.shown_high = rounded + (rule.base - 1) // 2

    def concluded(self) -> tuple[Numbers, Numbers]:
        """The least and the most that a reader must reckon with for every cell."""
        low = np.where(self.hidden, self.least, np.where(self.amount == 0, 0, self.shown_low))
        high = np.where(self.hidden, _ENDLESS, np.where(self.amount == 0, 0, self.shown_high))
        for _ in range(_SWEEPS):
            before = low.copy(), high.copy()
            total_low, total_high, part_low, part_high = self._implied(low, high)
            np.maximum.at(low, self.total, total_low)
            np.minimum.at(high, self.total, total_high)
            np.maximum.at(low, self.part, part_low)
            np.minimum.at(high, self.part, part_high)
            if np.array_equal(before[0], low) and np.array_equal(before[1], high):
                break
        return low, high

    def _implied(self, low: Numbers, high: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """What each relation says of its total and of each of its parts, from the bounds of its other members."""
        low_sum, high_sum = (_add(self.relation, bound[self.part], len(self.total)) for bound in (low, high))
        largest = np.zeros(len(self.total), np.int64)
        np.maximum.at(largest, self.relation, low[self.part])
        empty = np.bincount(self.relation, minlength=len(self.total)) == 0
        total_low = np.where(self.overlaps, largest, low_sum)
        total_high = np.where(empty, _ENDLESS, high_sum)
        others_low = np.where(self.overlaps[self.relation], 0, low_sum[self.relation] - low[self.part])
        others_high = high_sum[self.relation] - high[self.part]
        whole = self.total[self.relation]
        return total_low, total_high, low[whole] - others_high, high[whole] - others_low

    def hide_more(self, narrow: Flags, low: Numbers, high: Numbers) -> bool:
        """Hide the smallest shown member of every relation that says too much of a narrow cell; False when there is nothing left to hide."""
        total_low, total_high, part_low, part_high = self._implied(low, high)
        telling = np.zeros(len(self.total), np.bool_)
        telling |= narrow[self.total] & self._tells(self.total, total_low, total_high)
        telling[self.relation[narrow[self.part] & self._tells(self.part, part_low, part_high)]] = True
        while True:
            chosen = self._smallest_shown(telling)
            if len(chosen):
                self.hidden[chosen] = True
                return True
            # Nothing is shown in these relations; what narrows them comes from the relations around.
            members = np.zeros(len(self.amount), np.bool_)
            members[self.total[telling]] = True
            members[self.part[telling[self.relation]]] = True
            wider = telling | members[self.total]
            wider[self.relation[members[self.part]]] = True
            if np.array_equal(wider, telling):
                return False
            telling = wider

    def _tells(self, cell: Numbers, low: Numbers, high: Numbers) -> Flags:
        return (low > self.least[cell]) | (high - self.least[cell] < _POSSIBLE - 1)

    def _smallest_shown(self, telling: Flags) -> Numbers:
        """Of each of these relations the smallest part that is shown, or its total where there is none."""
        shown = ~self.hidden & ~self.settled & (self.amount > 0)
        entry = np.flatnonzero(telling[self.relation] & shown[self.part])
        entry = entry[np.lexsort((self.part[entry], self.amount[self.part[entry]], self.relation[entry]))]
        relation, first = np.unique(self.relation[entry], return_index=True)
        telling = telling.copy()
        telling[relation] = False
        totals = self.total[telling]
        return np.concatenate([self.part[entry[first]], totals[shown[totals]]])


def _sums_of_rests(amount: Numbers, parts: Parts, first: Numbers, rest: Numbers, left: Numbers) -> list[tuple[int, list[int]]]:
    """What pools leave over adds up as the pools do: those of the years before by level make up those of the years before in all.

    ``first`` is the first entry of each relation, ``rest`` the cell of what is left of its total (-1 where there is none) and ``left`` how many
    that is. Gives the cell of each such total, and of its parts; a level that the shorter period has nobody of came in the years before as
    it is. There is a relation per published total and not per person, so these are few enough to go through.
    """
    left_over: dict[int, dict[int, int]] = {}
    sums: dict[int, list[list[int]]] = {}
    bounds = [*first.tolist(), len(parts.relation)]
    for relation, (start, end) in enumerate(itertools.pairwise(bounds)):
        total, members = int(parts.total[start]), parts.part[start:end].tolist()
        if parts.pool[start] and rest[relation] >= 0:
            left_over.setdefault(total, {})[members[0]] = int(rest[relation])
        elif not parts.share[start] and left[relation] == 0:
            sums.setdefault(total, []).append(members)
    found = []
    for longer, shorter_ones in left_over.items():
        for shorter, over in shorter_ones.items():
            for of_longer in sums.get(longer, ()):
                for of_shorter in sums.get(shorter, ()):
                    known = {member for member in of_shorter if amount[member] > 0}
                    pairs = [(member, known & left_over.get(member, {}).keys()) for member in of_longer]
                    if sum(len(pair) for _, pair in pairs) == len(known) and all(len(pair) < 2 for _, pair in pairs):
                        found.append((over, [left_over[member][pair.pop()] if pair else member for member, pair in pairs]))
    return found


def _add(group: Numbers, values: Numbers, groups: int) -> Numbers:
    """The sum of the values per group. Sums stay below 2**53, so adding up as floats is exact."""
    return np.bincount(group, weights=values, minlength=groups).astype(np.int64)


def _columns(connection: Connection, query: str) -> Mapping[str, npt.NDArray[np.generic]]:
    return cast(Mapping[str, npt.NDArray[np.generic]], connection.execute(query).fetchnumpy())
