"""Look a site over before a run does: settings, mappings, drivers, sources, permissions, disk, clock, reference files, calendar, ledger, Airflow.

Nothing is changed, no row of a source is read, and no secret is shown: a check tells paths, names, counts and times.
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import fsspec

from ips_pipeline import returns, settings
from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.measures import reference
from ips_pipeline.publish import copying
from ips_pipeline.quality import checks, local_checks, validate
from ips_pipeline.settings import FilesSource, Reference, Site, SqlSource
from ips_pipeline.sources import files, mapping, sql
from ips_pipeline.store import ledger
from ips_pipeline.submission import calendar

#: Free disk below which a run is bound to fail, and below which somebody should look for room, in bytes.
LITTLE_DISK, SCARCE_DISK = 1 << 30, 5 << 30
#: A source that takes longer to open is told as one that does not answer, in seconds.
PATIENCE = 30.0
#: Seconds by which the clock of the disk may differ from the machine's before it is told, and before it is a fault.
DRIFT, WRONG_CLOCK = 5.0, 300.0
#: Months that the calendar should know: the one before the day, its own, and those after it.
MONTHS_AHEAD = 3

_DAGS = ("ips_provider_month.py", "ips_national_rollup.py", "ips_return.py", "ips_deadlines.py", "ips_doctor.py")


class State(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, what was found with the next step in it, and the exit code of its class where it is a fault."""

    name: str
    state: State
    found: str
    exit_code: int = 0


class _Warning(Exception):
    """A finding that stops nothing."""


@dataclass(slots=True)
class _Examination:
    """The checks so far; each is a function that gives what it found, or raises what is wrong."""

    done: list[Check] = field(default_factory=list)

    def look(self, name: str, check: Callable[[], str]) -> bool:
        """Run a check and keep its line; gives whether it found no fault."""
        try:
            self.done.append(Check(name, State.OK, check()))
        except _Warning as warned:
            self.done.append(Check(name, State.WARNING, str(warned)))
        except IpsError as fault:
            self.done.append(Check(name, State.FAULT, str(fault), fault.exit_code))
        except OSError as error:
            said = f"{error.filename or 'A file'}: {os.strerror(error.errno or 0)}; fix it and look again"
            self.done.append(Check(name, State.FAULT, said, RetryableError.exit_code))
        return self.done[-1].state is not State.FAULT


def examine(
    config: Path,
    *,
    clock: Callable[[], datetime] = ledger.utc_now,
    environment: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
    connections: settings.Connections | None = None,
) -> list[Check]:
    """Every check of a site, in a fixed order; only the first when its settings cannot be read.

    ``environment`` is that of the process unless given, ``patience`` the seconds a source has to open, ``connections`` as for ``settings.load``.
    Raises nothing for what it finds wrong.
    """
    seen = _Examination()
    sites: list[Site] = []

    def read() -> str:
        sites.append(settings.load(config, connections=connections))
        return f"{sites[0].file}: {_count(len(sites[0].providers), 'provider')}, {_count(len(sites[0].sources), 'source')}"

    if not seen.look("settings", read):
        return seen.done
    (site,) = sites
    for file in sorted({provider.mapping for provider in site.providers}):
        seen.look(f"mapping {file.name}", partial(_mapping, file))
    for name, source in sorted(site.sources.items()):
        if isinstance(source, FilesSource):
            seen.look(f"source {name}", partial(_opened, name, partial(files.probe, name, source), patience))
        elif seen.look(f"driver {name}", partial(sql.driver, site, name)):
            seen.look(f"encryption {name}", partial(_encryption, site, name, source))
            seen.look(f"source {name}", partial(_opened, name, partial(sql.probe, site, name), patience))
    seen.look("local checks", lambda: _count(len(local_checks.read(site.local_checks)), "check"))
    for zone in (site.restricted, site.data / "releases"):
        seen.look(f"permissions {zone.name}", partial(_owner_only, zone))
    seen.look("permissions settings", lambda: _closed_to_writers(site))
    seen.look("permissions secrets", lambda: _secrets(site))
    seen.look("disk", lambda: _disk(site))
    seen.look("clock", lambda: _clock(site, clock()))
    seen.look("reference files", lambda: _reference(site))
    seen.look("calendar", lambda: _calendar(site, clock()))
    seen.look("ledger", lambda: _ledger(site))
    seen.look("hand-over", lambda: _hand_over(site))
    seen.look("copies", lambda: _copies(site))
    seen.look("Airflow", lambda: _airflow(site, os.environ if environment is None else environment))
    return seen.done


def exit_code(found: Sequence[Check]) -> int:
    """The exit code of the first fault, 0 when there is none."""
    return next((check.exit_code for check in found if check.state is State.FAULT), 0)


def _mapping(file: Path) -> str:
    coverage = mapping.check(mapping.load(file))
    if lacking := coverage.missing_required:
        raise UsageError(f"The mapping {file} lacks {', '.join(lacking)}, without which every submission is rejected; map it")
    if unmapped := [f"{table.table}.{element}" for table in coverage.tables for element in table.missing_mandatory]:
        raise _Warning(f"{file} does not map the mandatory {', '.join(unmapped[:5])}{', …' if len(unmapped) > 5 else ''}: rows without are rejected")
    return f"{_count(len(coverage.tables), 'table')} of the standard"


def _opened(name: str, probe: Callable[[], None], patience: float) -> str:
    """Open a source in a thread of its own, since a driver may wait for minutes for a server that is not there."""
    raised: list[IpsError] = []

    def attempt() -> None:
        try:
            probe()
        except IpsError as error:
            raised.append(error)

    began = time.monotonic()
    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(patience)
    if thread.is_alive():
        raise RetryableError(f"Source {name}: no answer within {patience:g} seconds; check the network and that it is running")
    if raised:
        raise raised[0]
    return f"opened read-only in {time.monotonic() - began:.2f} s"


def _encryption(site: Site, name: str, source: SqlSource) -> str:
    """How the rows of a source come to this machine, by its settings."""
    match sql.encryption(site, name):
        case "off":
            raise _Warning(f'What source {name} sends is not encrypted on its way; let its server offer TLS, and take tls = "off" out of {site.file}')
        case "encrypted":
            return "encrypted" + ("; with ca the server would be verified too" if source.ca is None else "")
        case "verified":
            return "encrypted, and the server verified"
        case _:
            return "does not leave this machine"


def _owner_only(zone: Path) -> str:
    """Nothing in a zone may be read by others: what is restricted holds patient data, and a release goes out by its copy."""
    if not zone.is_dir():
        place = _nearest(zone)
        if not os.access(place, os.W_OK | os.X_OK):
            raise UsageError(f"{place} may not be written, so {zone} cannot be made; give the account that runs the pipeline the right to")
        raise _Warning(f"{zone} is not there yet; the first run makes it")
    count, loose, foreign = 0, [], []
    for path in _tree(zone):
        # What a run takes away while we look is no concern.
        with contextlib.suppress(FileNotFoundError):
            held = path.lstat()
            count += 1
            loose += [path] if stat.S_IMODE(held.st_mode) & 0o077 and not stat.S_ISLNK(held.st_mode) else []
            foreign += [path] if held.st_uid != os.geteuid() else []
    many = ("file or folder", "files and folders")
    if loose:
        raise UsageError(f"{_count(len(loose), *many)} open to other accounts, the first {loose[0]}; close them: chmod -R go-rwx {zone}")
    if foreign:
        raise UsageError(f"{_count(len(foreign), *many)} of another account, the first {foreign[0]}; run as that one, or give them to this one")
    return f"{zone}: {_count(count, *many)}, for the owner only"


def _closed_to_writers(site: Site) -> str:
    """Whoever may write the settings or a mapping decides what is read and where it goes; who may write the data root may swap what lies in it."""
    places = [site.file, *sorted({provider.mapping for provider in site.providers}), site.secrets, site.data]
    places += [site.local_checks] if site.local_checks else []
    held = [place for place in places if place.exists()]
    if loose := [place for place in held if place.stat().st_mode & stat.S_IWOTH]:
        raise UsageError(f"{loose[0]} may be written by every account on this machine; close it: chmod o-w {loose[0]}")
    return f"{_count(len(held), 'place')}, none of which every account may write"


def _tree(zone: Path) -> Iterator[Path]:
    yield zone
    for folder, folders, names in os.walk(zone):
        yield from (Path(folder) / name for name in (*folders, *names))


def _secrets(site: Site) -> str:
    wanted = [source.url for source in site.sources.values() if isinstance(source, SqlSource) and isinstance(source.url, Reference)]
    wanted += [source.password for source in site.sources.values() if isinstance(source, SqlSource) and source.password is not None]
    wanted += [site.publish.credentials] if site.publish.credentials else []
    for item in wanted:
        site.secret(item)
    if loose := [name for name in sorted({item.file for item in wanted if item.file}) if (site.secrets / name).stat().st_mode & 0o077]:
        raise _Warning(f"{site.secrets / loose[0]} can be read by other accounts; close it: chmod go-rwx {site.secrets / loose[0]}")
    return f"{_count(len(wanted), 'secret')} referred to, all there" if wanted else "none is referred to"


def _disk(site: Site) -> str:
    place = _nearest(site.data)
    free = shutil.disk_usage(place).free
    told = f"{free / (1 << 30):,.1f} GiB free at {place}"
    if free < LITTLE_DISK:
        raise RetryableError(f"Only {told}; free some with: ips purge, or give the data directory more")
    if free < SCARCE_DISK:
        raise _Warning(f"Only {told}; free some with: ips purge")
    return told


def _clock(site: Site, moment: datetime) -> str:
    """Compare the machine's clock with that of the disk, which may be another machine's, and with the last entry of the ledger."""
    with TemporaryFile(dir=_nearest(site.temporary)) as probe:
        apart = abs(os.fstat(probe.fileno()).st_mtime - time.time())
    last = None
    for entry in ledger.entries(site.ledger):
        last = entry
    if last is not None and (ahead := (datetime.fromisoformat(last.at) - moment.astimezone(UTC)).total_seconds()) > WRONG_CLOCK:
        raise RetryableError(f"The ledger's last line is {ahead / 60:,.0f} minutes ahead of the clock; set the machine's clock right")
    if apart > WRONG_CLOCK:
        raise RetryableError(f"The clock of the disk differs by {apart / 60:,.0f} minutes from the machine's; set both by the same time server")
    if apart > DRIFT:
        raise _Warning(f"The clock of the disk differs by {apart:,.0f} seconds from the machine's; set both by the same time server")
    return f"{moment.astimezone(calendar.LONDON):%Y-%m-%d %H:%M} in London; the disk agrees"


def _reference(site: Site) -> str:
    """Which files there are, and whether their headings have what is read; what is missing switches rules and measures off."""
    names = sorted({*reference.FILES, *validate.LISTS, *checks.LISTS})
    missing, held = [], 0
    for name in names:
        path = site.reference / f"{name}.csv"
        if not path.is_file():
            missing.append(name)
            continue
        held += 1
        try:
            with path.open(encoding="utf-8-sig", newline="") as handle:
                columns = next(csv.reader(handle), [])
        except (OSError, UnicodeDecodeError, csv.Error):
            raise InputError(f"{path} cannot be read; save it as CSV UTF-8") from None
        # Postcodes may also be a plain list of codes, for the rules alone.
        if name in reference.FILES and not (name == "postcodes" and "code" in columns):
            lacking = [column for column in reference.FILES[name].columns if column not in columns]
            if lacking:
                raise InputError(f"{path} has no column {lacking[0]}; it needs {', '.join(reference.FILES[name].columns)}")
    if missing:
        raise _Warning(f"{site.reference} has no {', '.join(missing)}: what needs them is reported as not evaluated; add them as CSV where you can")
    return f"{_count(held, 'file')} in {site.reference}"


def _calendar(site: Site, moment: datetime) -> str:
    windows = calendar.load(site.calendar)
    months = [calendar.standard_month(moment.astimezone(calendar.LONDON).date(), shift) for shift in range(-1, MONTHS_AHEAD)]
    if unknown := [month for month in months if windows.own(month) is None]:
        raise _Warning(
            f"No submission window is known for {', '.join(unknown)}; enter the dates of the year in a file named by calendar in {site.file}"
        )
    provisional = [month for month in months if (window := windows.own(month)) and window.provisional]
    return f"windows known for {months[0]} to {months[-1]}{', provisional for ' + ', '.join(provisional) if provisional else ''}"


def _ledger(site: Site) -> str:
    if faults := returns.verify_ledger(site):
        raise InputError(f"The ledger in {site.ledger} is not whole: {faults[0]}; compare it with a copy before you go on")
    return f"whole, {_count(sum(1 for _ in ledger.entries(site.ledger)), 'line')}"


def _hand_over(site: Site) -> str:
    if site.template is not None and not site.template.is_file():
        raise InputError(f"There is no template {site.template}; correct template in {site.file}")
    if site.outbox is None:
        raise _Warning(f'{site.file} names no outbox, so no return can be handed over; add the folder, such as outbox = "outbox"')
    if not os.access(_nearest(site.outbox), os.W_OK | os.X_OK):
        raise UsageError(f"The outbox {site.outbox} may not be written; give the account that runs the pipeline the right to")
    return f"outbox {site.outbox}" + (f", template {site.template.name}" if site.template else "; no template, so no Access file is made")


def _copies(site: Site) -> str:
    target = site.publish.copy_to
    if target is None:
        return "none are asked for"
    if (scheme := target.partition("://")[0]) not in fsspec.available_protocols():
        raise UsageError(f"{target} is not a target that anything here can reach; correct copy_to in [publish]")
    copying.storage_options(
        site.secret(site.publish.credentials).get_secret_value() if site.publish.credentials else None,
        site.publish.endpoint,
    )
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError:
        raise UsageError(f"Nothing is installed that reaches {scheme}://; install the extra objectstore, or what brings it") from None
    return f"{target}; not opened"


def _airflow(site: Site, environment: Mapping[str, str]) -> str:
    """Airflow's settings as far as the environment has them; Airflow itself is not loaded, and no value of a connection is looked at."""
    if not any(name in environment for name in ("AIRFLOW_HOME", "IPS_SITE")) and not any(name.startswith("AIRFLOW__") for name in environment):
        return "not configured in this environment"
    named = environment.get("IPS_SITE")
    if named is not None and Path(named).expanduser().absolute() != site.file:
        raise UsageError(f"IPS_SITE names {named}, not {site.file}; the DAGs would run another site")
    dags = environment.get("AIRFLOW__CORE__DAGS_FOLDER")
    if dags is not None and (lacking := [name for name in _DAGS if not any(Path(dags).rglob(name))]):
        raise UsageError(f"AIRFLOW__CORE__DAGS_FOLDER {dags} has no {', '.join(lacking)}; let it name the folder dags")
    plugins = environment.get("AIRFLOW__CORE__PLUGINS_FOLDER")
    if plugins is not None and not Path(plugins).is_dir():
        raise UsageError(f"AIRFLOW__CORE__PLUGINS_FOLDER names {plugins}, which is no folder; let it name dags/plugins")
    wanting = [
        said
        for said, lacks in (
            ("IPS_SITE is not set, so the Airflow variable ips_site has to name the site", named is None),
            ("AIRFLOW__CORE__PLUGINS_FOLDER is not set to dags/plugins, so approvals have no deadline", plugins is None),
            (
                "example DAGs are not switched off; set AIRFLOW__CORE__LOAD_EXAMPLES to False",
                environment.get("AIRFLOW__CORE__LOAD_EXAMPLES", "True").lower() not in ("false", "f", "0"),
            ),
        )
        if lacks
    ]
    if wanting:
        raise _Warning("; ".join(wanting))
    return f"IPS_SITE names this site{'; DAGs in ' + dags if dags else ''}"


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.is_dir())


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
