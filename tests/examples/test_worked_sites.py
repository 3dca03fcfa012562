"""The worked sites: each made small goes through the real stages to a release, and its README.md has a place for what it gives.

The figures of the README files are those of the full runs; ``make examples`` compares them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ips_pipeline import flows, settings, worked_sites
from ips_pipeline.errors import UsageError
from ips_pipeline.sources import madeup
from ips_pipeline.store import stages

#: People per provider of the small versions.
PEOPLE = 24


def small(name: str, providers: int, people: int = PEOPLE) -> worked_sites.Worked:
    """The example with few providers, people and months; the settings are those of the first providers."""
    worked = worked_sites.load(name)
    trusts = [{**trust, "people": people} for trust in worked.data["trusts"][:providers]]
    data = {**worked.data, "trusts": trusts, "first_month": worked.periods[-1]}
    return dataclasses.replace(worked, data=data, periods=worked.periods[-1:])


def of_its_providers(worked: worked_sites.Worked, folder: Path) -> worked_sites.Worked:
    """The same with a SITE.toml of those providers only, kept in ``folder``."""
    folder.mkdir(parents=True)
    head, *providers = (worked.folder / "SITE.toml").read_text().split("\n[[providers]]\n")
    kept = [text for text in providers if any(f'code = "{trust["code"]}"' in text for trust in worked.data["trusts"])]
    (folder / "SITE.toml").write_text("\n[[providers]]\n".join([head, *kept]))
    (folder / "targets.csv").write_text((worked.folder / "targets.csv").read_text())
    return dataclasses.replace(worked, folder=folder)


@pytest.mark.parametrize("name", worked_sites.names())
def test_every_example_makes_a_site_of_its_scenario(name: str, tmp_path: Path) -> None:
    worked = worked_sites.load(name)
    site = worked_sites.make(of_its_providers(small(name, providers=2), tmp_path / "settings"), tmp_path / "site")
    assert [provider.code for provider in settings.load(site.file).providers] == [trust["code"] for trust in worked.data["trusts"][:2]]
    assert set(madeup.periods(worked.data)) >= set(worked.periods)
    assert worked_sites.shown(worked).startswith("| Measure |")
    for provider in site.providers:
        assert (site.file.parent / "trusts" / provider.code).is_dir()


def test_the_five_settings_name_the_providers_of_their_scenarios() -> None:
    assert len(worked_sites.names()) == 5
    for name in worked_sites.names():
        worked = worked_sites.load(name)
        text = (worked.folder / "SITE.toml").read_text()
        assert text.count("[[providers]]") == len(worked.data["trusts"])


def test_an_unknown_example_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean county-service"):
        worked_sites.load("county-servise")


def test_a_small_trial_runs_to_a_release_with_both_arms(tmp_path: Path) -> None:
    worked = of_its_providers(small("regional-trial", providers=2, people=80), tmp_path / "settings")
    months = {"first_month": worked_sites.load("regional-trial").data["first_month"]}
    worked = dataclasses.replace(worked, data={**worked.data, **months, "weights": {"Gender": {"1": 1, "2": 1}}})
    outcome = worked_sites.run(worked, tmp_path / "out" / "site")
    assert outcome.rejected == []
    allocated = {line[2]: int(line[3]) for line in outcome.lines if "TRIAL01" in line[0] and "support" in line[2]}
    assert allocated == arms(outcome.site, worked.periods[-1])
    assert set(allocated) == {"Employment support", "Usual support"}
    assert worked_sites.run(worked, tmp_path / "out" / "site").releases == outcome.releases
    apart_is_together(outcome.site, flows.months_between(months["first_month"], worked.periods[-1]), tmp_path)


def arms(site: settings.Site, period: str) -> dict[str, int]:
    """How many accepted episodes of each arm the services' own records hold."""
    found: Counter[str] = Counter()
    for provider in site.providers:
        taken = stages.current(site.ips_records(provider.code, period))
        assert taken is not None
        (accepted,) = (taken.path / "accepted").rglob("ips_episode.parquet")
        found.update(pq.read_table(accepted, columns=["arm"])["arm"].to_pylist())
    return dict(found)


def apart_is_together(site: settings.Site, months: list[str], tmp_path: Path) -> None:
    """Providers judged in one call give the same bytes as one by one."""
    (tmp_path / "apart").mkdir()
    other = site.model_copy(update={"data": tmp_path / "apart"})
    for provider in site.providers:
        period = months[-1]
        for month in months:
            flows.extract(other, provider.code, month)
        flows._judge(other, [(provider.code, month) for month in months])
        one, two = (stages.current(held.findings(provider.code, period)) for held in (site, other))
        assert one is not None and two is not None
        assert one.identity == two.identity
        assert contents(one) == contents(two)


def contents(stage: stages.Stage) -> dict[str, Any]:
    return {path.relative_to(stage.path).as_posix(): stages.file_hash(path) for path in stage.path.rglob("*") if path.is_file()}
