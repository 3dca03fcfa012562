"""Made-up trusts to run the pipeline on: invented people in the systems of six invented trusts, with settings, mappings and reference data.

The same seed gives the same bytes. NHS numbers are of the test range that starts with 999. One person of each trust is a
canary: its values occur nowhere else, so a test can look for them wherever patients' values must not be.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from ips_pipeline.errors import UsageError
from ips_pipeline.sources.madeup import reference, services, systems
from ips_pipeline.sources.madeup.people import Canary, History, history, months, variety

#: The seed of ``ips demo``.
SEED = 20260930

__all__ = ["SEED", "canaries", "histories", "periods", "write_site"]


def write_site(folder: Path, seed: int = SEED, scenario: Mapping[str, Any] | None = None, settings: Path | None = None) -> Path:
    """Write the whole site into ``folder``, which must be empty or absent, and give the path of its SITE.toml.

    Layout: SITE.toml, mappings/, reference/, trusts/ (the trusts' own systems) and, once the pipeline runs, data/. ``scenario`` says what
    is otherwise than in variety.yaml, with ``settings`` for its SITE.toml. Raises UsageError when the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; give a new one for the made-up site")
    about = variety(scenario)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    places = reference.places(about)
    reference.write(folder / "reference", about, places, Random(f"{seed}/reference"))
    (folder / "mappings").mkdir()
    for shape in sorted({trust.shape for trust in about.trusts}):
        shutil.copyfile(systems.mapping_file(shape), folder / "mappings" / f"{shape}.yaml")
    (folder / "trusts").mkdir(mode=0o700)
    for number, held in enumerate(histories(seed, scenario)):
        systems.write(folder / "trusts", held, about)
        services.write(folder / "trusts", held, number, about, Random(f"{seed}/{held.trust.code}/ips_records"))
    file = folder / "SITE.toml"
    file.write_text(settings.read_text(encoding="utf-8") if settings else systems.site_toml(about), encoding="utf-8")
    return file


def histories(seed: int = SEED, scenario: Mapping[str, Any] | None = None) -> list[History]:
    """Everything that each trust's systems hold, trust by trust; what ``write_site`` presents in their own shapes."""
    about = variety(scenario)
    places = reference.places(about)
    held: list[History] = []
    for number, trust in enumerate(about.trusts):
        before = held[-1] if held else None
        held.append(history(about, number, places, Random(f"{seed}/{trust.code}"), before))
    return held


def canaries(scenario: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The values planted with the canary people, which occur nowhere else: ids, NHS numbers, postcodes, names, notes, bad values."""
    return tuple(value for number, _ in enumerate(variety(scenario).trusts) for value in Canary.of(number).values)


def periods(scenario: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The months the made-up trusts have data for, first to last, written yyyy-mm."""
    return tuple(months(variety(scenario)))
