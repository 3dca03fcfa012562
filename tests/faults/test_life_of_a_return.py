"""Faults in the life of a return: nothing half-written is ever visible, nothing approved is ever changed, and what was done is told once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline import returns, settings
from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.store import ledger, stages
from ips_pipeline.submission import access

MONTH = ("RXA", "2026-08")
ROLE = "Caldicott Guardian"
REPORT = "REPORT_TYPE,DESCRIPTION,CODE,NUMERATOR,DENOMINATOR," + ",".join(f"DATA_ITEM{n},DATA_VALUE{n}" for n in range(1, 11)) + "\n"

# Makes a site whose month was accepted, in the folder given. The window is open whatever the year: it is made around the month of a
# clock that stands still.
_SITE = """
import sys, zipfile
from datetime import UTC, datetime
from pathlib import Path
from ips_pipeline import returns, settings
from ips_pipeline.store import ledger, stages
MONTH = ("RXA", "2026-08")
def clock():
    return datetime(2026, 9, 10, 9, tzinfo=UTC)
def make(home):
    (home / "reference").mkdir(parents=True)
    (home / "map.yaml").write_text("tables: {}\\n")
    (home / "calendar.csv").write_text("opens,closes,state,source\\n2026-08-21,2026-09-17,final,entered for the tests\\n")
    (home / "SITE.toml").write_text(
        'name = "A site"\\ndata = "data"\\nreference = "reference"\\ncalendar = "calendar.csv"\\noutbox = "outbox"\\n'
        '[sources.files]\\nkind = "files"\\nfolder = "exports"\\n'
        '[[providers]]\\ncode = "RXA"\\nname = "A trust"\\nsource = "files"\\nmapping = "map.yaml"\\n')
    site = settings.load(home / "SITE.toml")
    accept(site, "first")
    return site
def accept(site, version):
    facts = {"file_codes": [], "rows_submitted": 1, "rows_rejected": 0, "findings": 0, "checks": 0, "rows": 1}
    def build(folder):
        (folder / "MHS000Header.csv").write_text("DatSetVer,OrgIDProvider,ReportingPeriodStartDate\\n6.0,RXA,2026-08-01\\n")
        return facts
    landed = stages.write(site.landing(*MONTH), build, staging=site.staging, inputs={"version": version}).identity
    judged = stages.write(site.findings(*MONTH), build, staging=site.staging, inputs={"landing": landed}).identity
    stages.write(site.accepted(*MONTH), build, staging=site.staging, inputs={"findings": judged, "landing": landed})
"""

# For each step, a process is forked for the file operations that the step makes and killed right before one of them, as by `kill -9`. What is
# left is looked at, then the step is done again. Of the many operations that write one table after another some stand for all; of the last
# ones, by which things come into force and are recorded, each is taken.
_KILLING = (
    _SITE
    + '''
import json, os, shutil, signal
from ips_pipeline.mhsds import standard
from ips_pipeline.quality import portal
standard.load()
root = Path(sys.argv[1])
def build(site):
    returns.build_package(site, *MONTH, clock=clock)
def approve(site):
    if returns.standing(site, *MONTH).state.value != "approved":
        returns.decide(site, *MONTH, "approved", role="Caldicott Guardian", by="cg", clock=clock)
def hand_over(site):
    returns.hand_over(site, *MONTH, clock=clock)
def import_reports(site):
    returns.import_feedback(site, *MONTH, "reports", root / "reports.zip")
STEPS = {"packaged": build, "approved": approve, "submitted": hand_over, "feedback": import_reports}
with zipfile.ZipFile(root / "reports.zip", "w") as archive:
    archive.writestr("validations.csv", REPORT)
def look(site):
    """Everything that is visible is whole, and the ledger follows it."""
    shelves = [site.package(*MONTH), site.feedback(*MONTH, "reports"), site.outbox / "RXA" / "2026-08"]
    for shelf in shelves:
        for stage in stages.kept(shelf):
            stages.verify(stage)
        stages.current(shelf)
    return returns.verify_ledger(site)
def attempt(step, home, fatal):
    """Do a step in a process of its own that is killed at an operation (0: never); gives its status and how many operations it made."""
    counted = root / "count"
    child = os.fork()
    if child == 0:
        def hook(event, arguments):
            global count
            if event in ("open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "os.truncate") and str(home) in str(arguments):
                count += 1
                if count == fatal:
                    os.kill(os.getpid(), signal.SIGKILL)
        globals()["count"] = 0
        sys.addaudithook(hook)
        step(settings.load(home / "SITE.toml"))
        counted.write_text(str(count))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return status, int(counted.read_text()) if status == 0 else 0
def fresh(before):
    home = root / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(before, home)
    return home
found = {}
before = root / "before"
make(before)
for kind, step in STEPS.items():
    whole, operations = attempt(step, fresh(before), 0)
    assert whole == 0, kind
    points = sorted({*range(1, operations, max(1, operations // 2)), *range(max(1, operations - LAST), operations + 1)})
    found[kind] = []
    for fatal in points:
        home = fresh(before)
        status, _ = attempt(step, home, fatal)
        site = settings.load(home / "SITE.toml")
        point = {"at": fatal, "of": operations, "killed": status == signal.SIGKILL, "faults": look(site)}
        point["lines"] = [entry.kind for entry in ledger.entries(site.ledger)].count(kind)
        point["again"] = attempt(step, home, 0)[0]
        point["faults after"] = look(site)
        point["after"] = [entry.kind for entry in ledger.entries(site.ledger)].count(kind)
        found[kind].append(point)
    shutil.rmtree(before)
    shutil.move(home, before)
print(json.dumps(found))
'''
)


def test_killed_at_any_moment_the_steps_of_a_return_leave_what_was_or_what_is_to_be(tmp_path: Path) -> None:
    program = f"REPORT, LAST = {REPORT!r}, 10\n{_KILLING}"
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert set(found) == {"packaged", "approved", "submitted", "feedback"}
    for kind, points in found.items():
        assert len(points) > 5, "too few operations were seen to prove anything"
        assert {point["lines"] for point in points} == {0, 1}, kind
        for point in points:
            assert point["killed"]
            assert point["faults"] == point["faults after"] == [], (kind, point)
            assert (point["again"], point["after"]) == (0, 1), (kind, point)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A site whose month was accepted, its clock, and ``accept`` to put another version in force."""
    monkeypatch.delenv("IPS_DATA", raising=False)
    names: dict[str, Any] = {}
    exec(_SITE, names)  # noqa: S102 - the same made-up site as in the processes that are killed
    return {"site": names["make"](tmp_path / "home"), "clock": names["clock"], "accept": names["accept"]}


def approved(made: dict[str, Any]) -> settings.Site:
    site: settings.Site = made["site"]
    returns.build_package(site, *MONTH, clock=made["clock"])
    returns.decide(site, *MONTH, "approved", role=ROLE, by="cg", clock=made["clock"])
    return site


def kinds(site: settings.Site) -> Counter[str]:
    return Counter(entry.kind for entry in ledger.entries(site.ledger))


def at_once(*does: Callable[[], object]) -> list[IpsError]:
    """Do things at the same time; gives the errors."""
    errors: list[IpsError] = []
    ready = threading.Barrier(len(does))

    def attempt(do: Callable[[], object]) -> None:
        ready.wait()
        try:
            do()
        except IpsError as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt, args=(do,)) for do in does]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_two_builds_and_two_hand_overs_at_once_are_one(made: dict[str, Any]) -> None:
    site: settings.Site = made["site"]
    assert at_once(*[lambda: returns.build_package(site, *MONTH, clock=made["clock"])] * 3) == []
    assert len(stages.kept(site.package(*MONTH))) == 1
    approved(made)
    assert at_once(*[lambda: returns.hand_over(site, *MONTH, clock=made["clock"])] * 3) == []
    assert kinds(site) == {"packaged": 1, "approved": 1, "submitted": 1}
    assert returns.verify_ledger(site) == []


def test_a_full_disk_while_handing_over_leaves_the_outbox_as_it_was(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    site = approved(made)
    real, copied = shutil.copyfile, []

    def full(source: Path, target: Path) -> object:
        copied.append(target)
        if len(copied) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(RetryableError, match="No space left on device"):
        returns.hand_over(site, *MONTH, clock=made["clock"])
    assert site.outbox is not None
    assert not (site.outbox / "RXA").exists()
    assert kinds(site)["submitted"] == 0
    monkeypatch.undo()
    assert returns.hand_over(site, *MONTH, clock=made["clock"])["changed"]


def test_an_approval_of_a_stale_draft_lets_nothing_out(made: dict[str, Any]) -> None:
    site = approved(made)
    seen = returns.standing(site, *MONTH).content
    made["accept"](site, "with late rows")
    with pytest.raises(InputError, match="was not made of the rows in force"):
        returns.hand_over(site, *MONTH, clock=made["clock"])
    returns.build_package(site, *MONTH, clock=made["clock"])
    with pytest.raises(UsageError, match="has changed since that draft"):
        returns.decide(site, *MONTH, "approved", role=ROLE, by="another", seen=seen, clock=made["clock"])
    with pytest.raises(UsageError, match="1 earlier approval ended when the return changed"):
        returns.hand_over(site, *MONTH, clock=made["clock"])


@pytest.mark.parametrize("harm", ["change", "remove", "add"])
def test_a_package_that_was_altered_after_its_approval_stays(made: dict[str, Any], harm: str) -> None:
    site = approved(made)
    package = stages.current(site.package(*MONTH))
    assert package is not None
    table = package.path / "csv" / "MHS000Header.csv"
    match harm:
        case "change":
            table.write_text(table.read_text(encoding="utf-8").replace("6.0", "5.0"), encoding="utf-8")
        case "remove":
            table.unlink()
        case _:
            (package.path / "more.csv").touch()
    with pytest.raises(InputError, match="is not what its manifest says"):
        returns.hand_over(site, *MONTH, clock=made["clock"])
    assert kinds(site)["submitted"] == 0


# Access files


@pytest.fixture(scope="module")
def held() -> access.Runtime:
    found = access.runtime()
    if found is None:
        pytest.skip("Access files need the accdb extra")
    return found


@pytest.mark.parametrize("fault", ["wrong", "open", "absent"])
def test_a_template_that_is_wrong_open_or_not_there_leaves_no_package(made: dict[str, Any], tmp_path: Path, held: access.Runtime, fault: str) -> None:
    template = tmp_path / "template.accdb"
    if fault != "absent":
        tables = {"MHS000Header": [("DatSetVer", "TEXT", 10)], "Notes": [("Text", "MEMO", 0)]}
        access._run(held, {"do": "template", "file": str(template), "tables": tables}, tmp_path, "the test's template")
    if fault == "open":
        template.with_suffix(".laccdb").touch()
    expected: tuple[type[IpsError], str] = {
        "wrong": (InputError, "it has a table Notes that the standard has not"),
        "open": (RetryableError, "is open in Access"),
        "absent": (InputError, "There is no template"),
    }[fault]
    site = made["site"].model_copy(update={"template": template})
    with pytest.raises(expected[0], match=expected[1]):
        returns.build_package(site, *MONTH, clock=made["clock"])
    assert stages.kept(site.package(*MONTH)) == []
    assert kinds(site)["packaged"] == 0
    assert list(site.staging.iterdir()) == []


def test_a_worker_that_takes_too_long_is_ended_and_said_so(tmp_path: Path, held: access.Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_SECONDS", 0.05)
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def starting(*given: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*given, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", starting)
    with pytest.raises(RetryableError, match="run again when the machine is less busy"):
        access.write_template(tmp_path / "template.accdb", held, temporary=tmp_path)
    assert [process.returncode for process in started] == [-9]
    assert list(tmp_path.iterdir()) == []


def test_tables_that_are_not_the_standards_are_told_and_columns_refused(tmp_path: Path, held: access.Runtime) -> None:
    (tmp_path / "rows").mkdir()
    own = {"MHS000Header": access.columns_of(standard.load().table("MHS000"))}
    for name, tables in (
        ("more.accdb", {**own, "Notes": [("Text", "MEMO", 0)]}),
        ("wide.accdb", {"MHS000Header": [*own["MHS000Header"], ("Colour", "TEXT", 9)]}),
    ):
        access._run(held, {"do": "template", "file": str(tmp_path / name), "tables": tables}, tmp_path, "the test's database")
    told = access.read(tmp_path / "more.accdb", tmp_path / "rows", held, temporary=tmp_path / "tmp")
    assert [line.partition(": ")[2] for line in told] == [f"the table Notes is not one of MHSDS {standard.load().version} and was left out"]
    with pytest.raises(InputError, match="has a column Colour in MHS000Header that the standard does not have"):
        access.read(tmp_path / "wide.accdb", tmp_path / "rows", held, temporary=tmp_path / "tmp")
