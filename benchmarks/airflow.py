"""What Airflow adds to a month, and what becomes of one when something is killed, full or restarted: on a real scheduler.

    python -m benchmarks.airflow                    one provider-month beside the same stages without Airflow
    python -m benchmarks.airflow --providers 50     that many providers, one month
    python -m benchmarks.airflow --faults [NAME …]  the faults of FAULTS; each ends with a comparison with a run without Airflow, byte for byte,
                                                    and a search for planted values of patients
    python -m benchmarks.airflow --backfill         a year of months by ``airflow backfill create``, the same again, and stages cleared one by one

It makes its own site, metadata (PostgreSQL 15 of the system, as the user postgres when run by root) and, for Celery, a Redis. Everything is made in
a temporary folder and stopped by process group. Minutes, not part of the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from dags import ui
from ips_pipeline import settings
from ips_pipeline.sources import madeup
from ips_pipeline.store import duck, ledger, stages

PERIOD = "2026-09"
#: One that is read from a database, one from files; neither is rejected in PERIOD.
TWO = ("MU1", "DFC")
MONTHLY, NATIONAL = "ips_provider_month", "ips_national_rollup"
#: First and last month of the year of --backfill, and the days that its runs lie between: a run of the schedule is for the month before.
YEAR, RUNS = ("2025-10", "2026-09"), ("2025-11-01", "2026-10-31")
#: The month of that year of which stages are cleared, and the day of its run.
CLEARED, CLEARED_RUN = "2026-08", "2026-09-08"
POSTGRES = Path("/usr/lib/postgresql/15/bin")
#: Seconds without a heartbeat after which the scheduler gives a task up, and between its looks for tasks that another scheduler has left; Airflow's
#: defaults of 300 would make each fault five minutes longer.
HEARTBEAT_TIMEOUT = 30
PATIENCE = 1500.0
ENDED = ("success", "failed")
#: What a month leaves on its way, beside the releases.
ZONES = ("landing", "findings", "accepted")
WITHOUT_AIRFLOW = """
import sys
from pathlib import Path
from ips_pipeline import flows, settings
site = settings.load(Path(sys.argv[1]))
for provider in site.providers:
    flows.extract(site, provider.code, sys.argv[2])
    flows.validate(site, provider.code, sys.argv[2])
if sys.argv[3:]:
    flows.measure(site, sys.argv[2])
"""
#: The same for a year: its months as ``ips run --since`` makes them, and a release of each.
A_YEAR_WITHOUT_AIRFLOW = """
import sys
from pathlib import Path
from ips_pipeline import flows, settings
site, (first, last) = settings.load(Path(sys.argv[1])), sys.argv[2:]
flows.run(site, last, since=first)
for month in flows.months_between(first, last):
    for provider in site.providers:
        flows.take_records(site, provider.code, month)
    flows.measure(site, month)
"""


def write_site(folder: Path, providers: Sequence[str] = TWO, copies: int = 0, slots: int = 4) -> Path:
    """The made-up site cut down to some providers, or to ``copies`` providers of one source that all send the data of one that exports files."""
    file = madeup.write_site(folder)
    blocks = file.read_text(encoding="utf-8").split("\n\n")
    kept = [block for block in blocks if "[[providers]]" not in block or re.search(f'code = "({"|".join(providers)})"', block)]
    if copies:
        kept = [block + f"\nslots = {slots}" * ("[sources.exports]" in block) for block in kept if "[[providers]]" not in block]
        for number in range(1, copies + 1):
            code = f"P{number:02d}"
            shutil.copytree(folder / "trusts" / "DFC" / PERIOD, folder / "trusts" / code / PERIOD)
            with (folder / "reference" / "organisations.csv").open("a", encoding="utf-8") as known:
                known.write(f"{code},2013-04-01,\n")
            kept.append(f'[[providers]]\ncode = "{code}"\nname = "A copy"\nsource = "exports"\nmapping = "mappings/exports.yaml"\n')
    file.write_text("\n\n".join(kept), encoding="utf-8")
    return file


def without_airflow(site: Path, data: Path, program: str, *given: str) -> float:
    """Seconds of the same stages in one process, into a data root of their own."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", program, str(site), *given], env={**os.environ, "IPS_DATA": str(data)}, stderr=subprocess.DEVNULL, check=True
    )
    return time.monotonic() - began


class Servers:
    """PostgreSQL and Redis of this machine, in a folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.redis: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """An empty PostgreSQL cluster with the database ``airflow``, and a Redis on the port above."""
        self.folder.mkdir(mode=0o755)
        if self.as_postgres:
            shutil.chown(self.folder, "postgres")
        self._postgres("initdb", "-D", str(self.folder / "pg"), "-U", "postgres", "--auth=trust", "-E", "UTF8")
        self.control("start")
        self._postgres("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "airflow")
        self.redis = subprocess.Popen(
            ["redis-server", "--port", str(self.port + 1), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"],  # noqa: S108 - it saves nothing
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dump(self) -> bytes:
        """The metadata as pg_dump writes them, as text."""
        command = [str(POSTGRES / "pg_dump"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "airflow"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def control(self, what: str, *more: str) -> None:
        """``pg_ctl`` start, stop or restart."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._postgres("pg_ctl", "-D", str(self.folder / "pg"), "-l", str(self.folder / "log"), "-o", options, "-w", what, *more)

    def stop(self) -> None:
        """Both, at once."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.control("stop", "-m", "immediate")
        if self.redis:
            self.redis.kill()

    def _postgres(self, program: str, *arguments: str) -> None:
        command = [*self.as_postgres, str(POSTGRES / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd="/")

    @property
    def metadata(self) -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/airflow"


class Airflow:
    """An Airflow of its own for one site, as ``dags.ui`` starts it, on PostgreSQL; with Celery workers where ``celery`` says how many."""

    def __init__(self, site: Path, home: Path, servers: Servers, *, celery: int = 0, schedulers: int = 1) -> None:
        self.site, self.home, self.port = settings.load(site), home, ui._free_port(8093)
        home.mkdir(parents=True)
        self.variables = ui._environment(self.site, home, self.port) | {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": servers.metadata,
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            # How soon a scheduler takes over what one that is gone had queued.
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": str(HEARTBEAT_TIMEOUT),
        }
        if celery:
            self.variables |= {
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{servers.port + 1}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{servers.metadata}",
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
            }
        self.parts: dict[str, Sequence[str]] = {"api-server": ("api-server", "--workers", "1"), "dag-processor": ("dag-processor",)}
        self.parts |= {f"scheduler-{number}": ("scheduler", "--skip-serve-logs") for number in range(1, schedulers + 1)}
        self.parts |= {
            f"worker-{number}": ("celery", "worker", "--skip-serve-logs", "--celery-hostname", f"worker{number}@%h")
            for number in range(1, celery + 1)
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        #: Whether parts that end by themselves are started again, as a service manager does, and those that were.
        self.minded, self.restarted = False, list[str]()
        self.api: ui.Api

    def __enter__(self) -> Airflow:
        passwords = ui._passwords(Path(self.variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]), [ui.USER])
        try:
            ui._finish("db", ui._start("db", ("db", "migrate"), self.home, self.variables), self.home)
            ui._finish("dags", ui._start("dags", ("dags", "reserialize"), self.home, self.variables), self.home)
            ui._finish("pools", ui._start("pools", ("--site", str(self.site.file)), self.home, self.variables, module="dags.pools"), self.home)
            for part in self.parts:
                self.start(part)
                if part == "api-server":
                    ui._until(self.running, self.home, self.port, [])
            ui._until(self.running, self.home, self.port, ["scheduler", "dag_processor"])
            self.api = ui.Api(self.port, ui.USER, passwords[ui.USER])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        ui._stop(list(self.running.values()))

    def start(self, part: str) -> None:
        """Start a part, or start it again."""
        self.running[part] = ui._start(part, self.parts[part], self.home, self.variables)

    def kill(self, part: str) -> None:
        """kill -9 of a part and all it started."""
        os.killpg(self.running[part].pid, signal.SIGKILL)
        self.running[part].wait()

    def ask(self, path: str) -> Any:
        """What the API answers; asked again while its database is away."""
        for _ in range(120):
            with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
                return self.api.call("GET", f"/api/v2/{path}")
            time.sleep(1)
        raise SystemExit("The API server does not answer any more")

    def command(self, *arguments: str) -> tuple[int, str]:
        """The exit code of a command line of ``airflow`` and the last line of what it says."""
        ran = subprocess.run([sys.executable, "-m", "airflow", *arguments], env=self.variables, capture_output=True, text=True, check=False)
        return ran.returncode, (ran.stderr.strip() or ran.stdout.strip()).rpartition("\n")[2]

    def runs(self, dag: str = MONTHLY) -> list[dict[str, Any]]:
        """The runs of a DAG, in the order of the months they are for."""
        found: list[dict[str, Any]] = self.ask(f"dags/{dag}/dagRuns?limit=100&order_by=logical_date")["dag_runs"]
        return found

    def tasks(self, run: str, dag: str = MONTHLY) -> list[dict[str, Any]]:
        """The task instances of a run, of the monthly DAG unless said otherwise."""
        found: list[dict[str, Any]] = self.ask(f"dags/{dag}/dagRuns/{quote(run)}/taskInstances?limit=100")["task_instances"]
        return found

    def trigger(self, run: str) -> None:
        """Start a run of the monthly DAG for PERIOD."""
        self.api.trigger(MONTHLY, run, {"period": PERIOD})

    def until(self, run: str, task: str, state: str = "running") -> None:
        """Wait until an instance of a task is in a state."""
        self._wait(lambda: any(ti["task_id"].endswith(task) and ti["state"] == state for ti in self.tasks(run)), f"no {task} is {state}")

    def finish(self, run: str) -> str:
        """Wait until the run and all roll-ups that it started are done; the state of the run."""
        self._wait(lambda: self.ask(f"dags/{MONTHLY}/dagRuns/{quote(run)}")["state"] in ENDED, f"{run} does not end")
        self.roll_ups()
        return str(self.ask(f"dags/{MONTHLY}/dagRuns/{quote(run)}")["state"])

    def roll_ups(self) -> None:
        """Wait until no accepted month waits for a roll-up and all roll-ups are done."""
        self._wait(lambda: not self._months_wait() and all(run["state"] in ENDED for run in self.runs(NATIONAL)), "no roll-up ends")

    def _months_wait(self) -> bool:
        try:
            return bool(self.api.call("GET", f"/ui/partitioned_dag_runs?dag_id={NATIONAL}&has_created_dag_run_id=false")["total"])
        except (OSError, ValueError):
            return True

    def _wait(self, done: Callable[[], bool], otherwise: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not done():
            if time.monotonic() > deadline:
                raise SystemExit(f"After {patience:,.0f} s {otherwise}; see {self.home}")
            for part in [part for part, process in self.running.items() if self.minded and process.poll() is not None]:
                self.restarted.append(part)
                self.start(part)
            time.sleep(0.5)


def compare(site: Path, data: Path, expected: Path) -> list[str]:
    """What differs between the months and the releases in force under two data roots; and what is wrong with the first one's ledger."""
    wrong = []
    in_force = [*expected.glob("releases/*/CURRENT"), *(path for zone in ZONES for path in expected.glob(f"restricted/{zone}/*/*/CURRENT"))]
    for shelf in sorted(path.parent.relative_to(expected) for path in in_force):
        one, other = stages.current(data / shelf), stages.current(expected / shelf)
        # A landing's manifest also says when it was read.
        if one is None or other is None or (one.identity, _content(one)) != (other.identity, _content(other)):
            held = _content(one) if one else {}
            differing = sorted(name for name, _ in held.items() ^ (_content(other) if other else {}).items())
            wrong.append(f"{shelf} differs in {', '.join(dict.fromkeys(differing)) or 'its identity'}")
    folder = data / "restricted" / "ledger"
    wrong += ledger.verify(folder)
    lines = Counter((entry.kind, entry.provider, entry.period, json.dumps(entry.facts, sort_keys=True)) for entry in ledger.entries(folder))
    wrong += [f"{kind} {provider} is in the ledger {count} times" for (kind, provider, _, _), count in lines.items() if count > 1]
    left = [path for path in (data / "restricted" / "tmp").rglob("*") if path.is_file()]
    return wrong + ([f"{len(left)} temporary files are left"] if left else [])


def _content(stage: stages.Stage) -> Mapping[str, str]:
    """The files of a stage as they are, without its manifest."""
    held = {path.relative_to(stage.path).as_posix(): stages.file_hash(path) for path in stage.path.rglob("*") if path.is_file()}
    return {name: content for name, content in held.items() if name != stages.MANIFEST}


def leaks(airflow: Airflow, servers: Servers, data: Path) -> list[str]:
    """Where a planted value of a patient has got to that no patient's value may get to.

    Looked through are the logs of Airflow's components, of its tasks and of PostgreSQL, the metadata (XCom, rendered fields and Celery's results
    among them), the releases, and of the restricted zone the ledger, the lineage and the manifests. What is pickled in the metadata is dumped in
    hexadecimal digits, and Parquet is compressed, so it is looked for in those forms too.
    """
    planted = [form for value in madeup.canaries() for form in (value.encode(), value.encode().hex().encode())]

    def holds(content: bytes) -> bool:
        return any(value in content for value in planted)

    def content(path: Path) -> bytes:
        if path.suffix != ".parquet":
            return path.read_bytes()
        with duck.session(read=[path.parent]) as connection:
            return repr(
                connection.execute("SELECT string_agg(CAST(columns(*) AS VARCHAR), ' ') FROM read_parquet(?)", [str(path)]).fetchone()
            ).encode()

    if not any(holds(content(path)) for path in (data / "restricted" / "landing").rglob("*.parquet")):
        return ["no planted value has landed, so that looking for them proves nothing"]
    seen = [path for folder in (airflow.home, data / "releases") for path in folder.rglob("*") if path.is_file()]
    seen += [servers.folder / "log", *(data / "restricted").rglob("*.json"), *(data / "restricted").rglob("*.jsonl")]
    wrong = [f"a planted value is in {path}" for path in seen if holds(content(path))]
    return wrong + (["a planted value is in the metadata"] if holds(servers.dump()) else [])


def _task_process(airflow: Airflow) -> int:
    """The process of a running task: the innermost one that Airflow has named after it."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], check=True, capture_output=True, text=True).stdout.splitlines()
    found = {int(pid): (int(parent), name) for pid, parent, name in (line.split(None, 2) for line in listed[1:])}
    ours = {process.pid for process in airflow.running.values()}

    def of_ours(pid: int) -> bool:
        while pid in found and pid not in ours:
            pid = found[pid][0]
        return pid in ours

    named = [(pid, parent) for pid, (parent, name) in found.items() if re.search("airflow worker -- [0-9a-f-]{36}", name) and of_ours(pid)]
    innermost = [pid for pid, _ in named if pid not in {parent for _, parent in named}]
    if not innermost:
        raise SystemExit("No task is running")
    return innermost[0]


def worker_killed(airflow: Airflow, _: Servers) -> str:
    """kill -9 of the process of a task that validates."""
    airflow.until("fault", "validate")
    time.sleep(3)
    os.kill(_task_process(airflow), signal.SIGKILL)
    return "the process of a validate was killed"


def metadata_restarted(airflow: Airflow, servers: Servers) -> str:
    """The metadata database goes away at once and comes back after ten seconds."""
    airflow.until("fault", "validate")
    servers.control("stop", "-m", "immediate")
    time.sleep(10)
    servers.control("start")
    airflow.minded = True
    return "away for ten seconds; what ended by itself was started again"


def scheduler_restarted(airflow: Airflow, _: Servers) -> str:
    """kill -9 of the scheduler and its tasks; it is started again ten seconds later."""
    airflow.until("fault", "validate")
    airflow.kill("scheduler-1")
    time.sleep(10)
    airflow.start("scheduler-1")
    return "killed with its tasks, started again"


def two_schedulers(airflow: Airflow, _: Servers) -> str:
    """Two schedulers on one database, one of them killed in the middle."""
    airflow.until("fault", "validate")
    airflow.kill("scheduler-2")
    return "one of two was killed with its tasks, the other went on"


def celery_worker_killed(airflow: Airflow, _: Servers) -> str:
    """Two Celery workers by Redis; one is killed with its tasks and stays away."""
    airflow.until("fault", "validate")
    time.sleep(3)
    airflow.kill("worker-1")
    return "one of two workers was killed and stayed away"


def full_disk(airflow: Airflow, _: Servers) -> str:
    """The data root is a small file system that is full until it is given more, while the task waits to be tried again."""
    airflow.until("fault", "", "up_for_retry")
    said = sorted({_last_error(path) for path in airflow.home.rglob("attempt=1.log")} - {""})
    subprocess.run(["mount", "-o", "remount,size=2g", str(airflow.site.data)], check=True)
    return f"told: {'; '.join(said)}"


def _last_error(log: Path) -> str:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    return next((str(line["event"]) for line in lines if line.get("level") == "error"), "")


#: Name, what is done, and how Airflow is set up for it.
FAULTS: Mapping[str, tuple[Callable[[Airflow, Servers], str], Mapping[str, int]]] = {
    "worker-killed": (worker_killed, {}),
    "metadata-restarted": (metadata_restarted, {}),
    "scheduler-restarted": (scheduler_restarted, {}),
    "two-schedulers": (two_schedulers, {"schedulers": 2}),
    "celery-worker-killed": (celery_worker_killed, {"celery": 2}),
    "full-disk": (full_disk, {}),
}


@contextlib.contextmanager
def _data_root(data: Path, megabytes: int) -> Iterator[None]:
    """A data root on a file system of its own of that size; an ordinary folder for 0."""
    data.mkdir(mode=0o700)
    if megabytes:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(data)], check=True)
    try:
        yield
    finally:
        if megabytes:
            subprocess.run(["umount", "--lazy", str(data)], check=False)


def try_fault(name: str, site: Path, expected: Path, root: Path, port: int) -> dict[str, Any]:
    """One fault on an Airflow of its own: what was done, what was tried again, how it ended, and what differs from a run without Airflow."""
    act, setup = FAULTS[name]
    servers, data = Servers(root / f"{name}-servers", port), root / f"{name}-data"
    with _data_root(data, 1 if name == "full-disk" else 0):
        os.environ["IPS_DATA"] = str(data)
        try:
            servers.start()
            with Airflow(site, root / name, servers, **setup) as airflow:
                began = time.monotonic()
                airflow.trigger("fault")
                done = act(airflow, servers)
                state = airflow.finish("fault")
                tasks = airflow.tasks("fault")
                again = [
                    f"{ti['task_id'].rpartition('.')[2]} {ti.get('rendered_map_index') or ''} ×{ti['try_number']}"
                    for ti in tasks
                    if ti["try_number"] > 1
                ]
                return {
                    "fault": name,
                    "done": done,
                    "ended by themselves": airflow.restarted,
                    "run": state,
                    "roll-ups": [run["state"] for run in airflow.runs(NATIONAL)],
                    "seconds": round(time.monotonic() - began),
                    "tried again": again,
                    "wrong": compare(site, data, expected) + leaks(airflow, servers, data),
                }
        finally:
            del os.environ["IPS_DATA"]
            servers.stop()


def at_once(tasks: Sequence[Mapping[str, Any]]) -> int:
    """How many of these task instances ran at the same time, at most."""
    # An end goes before a start of the same instant.
    turns = sorted([(ti["start_date"], 1) for ti in tasks] + [(ti["end_date"], -1) for ti in tasks])
    return max(accumulate(turn for _, turn in turns))


def overhead(site: Path, root: Path, port: int) -> dict[str, Any]:
    """Seconds of one month of every provider of the site with Airflow (from the trigger to the end of the run) and without."""
    servers = Servers(root / "servers", port)
    alone = without_airflow(site, root / "alone", WITHOUT_AIRFLOW, PERIOD)
    os.environ["IPS_DATA"] = str(root / "data")
    try:
        servers.start()
        began = time.monotonic()
        with Airflow(site, root / "airflow", servers) as airflow:
            ready = time.monotonic() - began
            airflow.trigger("month")
            began = time.monotonic()
            airflow._wait(lambda: airflow.ask(f"dags/{MONTHLY}/dagRuns/month")["state"] in ("success", "failed"), "the month does not end")
            took = time.monotonic() - began
            return {
                "providers": len(airflow.site.providers),
                "state": airflow.ask(f"dags/{MONTHLY}/dagRuns/month")["state"],
                "ready_s": round(ready, 1),
                "extracts_at_once": at_once([ti for ti in airflow.tasks("month") if ti["task_id"].endswith("extract")]),
                "without_airflow_s": round(alone, 1),
                "with_airflow_s": round(took, 1),
                "load": os.getloadavg()[0],
            }
    finally:
        del os.environ["IPS_DATA"]
        servers.stop()


def backfill(root: Path, port: int) -> Iterator[dict[str, Any]]:
    """A year made by ``airflow backfill create``, the same again, and stages cleared; each with what differs from a year without Airflow."""
    site, expected, data = write_site(root / "site"), root / "expected", root / "data"
    alone = without_airflow(site, expected, A_YEAR_WITHOUT_AIRFLOW, *YEAR)
    os.environ["IPS_DATA"] = str(data)
    servers = Servers(root / "servers", port)
    try:
        servers.start()
        waiting = Airflow(site, root / "airflow", servers)
        # A backfill needs a schedule.
        waiting.variables["IPS_SCHEDULE"] = "0 5 8 * *"
        with waiting as airflow:
            # The site has no outbox, so there is no return to build.
            airflow.api.call("PATCH", "/api/v2/dags/ips_return", {"is_paused": True})
            # The schedule starts a run for the last month at once, of which the made-up site has nothing.
            airflow._wait(lambda: bool(airflow.runs()), "the schedule starts no run")
            for scheduled in airflow.runs():
                airflow.api.call("PATCH", f"/api/v2/dags/{MONTHLY}/dagRuns/{quote(scheduled['dag_run_id'])}", {"state": "failed"})

            def told(done: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
                before, roll_ups, began = _files(data), len(airflow.runs(NATIONAL)), time.monotonic()
                what = done()
                after = _files(data)
                changed = [name for name in before | after if before.get(name) != after.get(name)]
                return {
                    **what,
                    "roll_ups": len(airflow.runs(NATIONAL)) - roll_ups,
                    "files_changed": len(changed),
                    "seconds": round(time.monotonic() - began),
                    "load": round(os.getloadavg()[0], 1),
                    "wrong": compare(site, data, expected),
                }

            for behaviour in ("none", "none", "completed"):
                yield told(partial(_backfill, airflow, behaviour)) | {"without_airflow_s": round(alone)}
            run = next(run["dag_run_id"] for run in airflow.runs() if run["logical_date"].startswith(CLEARED_RUN))
            for task in ("validate", "extract"):
                yield told(partial(_clear, airflow, run, task))
            yield told(partial(_clear_by_command, airflow, run))
            yield {"looked for planted values": "everywhere", "wrong": leaks(airflow, servers, data)}
    finally:
        del os.environ["IPS_DATA"]
        servers.stop()


def _files(data: Path) -> dict[str, str]:
    """The content of every file of a data root but the lineage, which tells of each run."""
    held = {path.relative_to(data): path for path in data.rglob("*") if path.is_file()}
    return {
        str(name): stages.file_hash(path) for name, path in held.items() if name.parts[:2] not in (("restricted", "lineage"), ("restricted", "tmp"))
    }


def _backfill(airflow: Airflow, behaviour: str) -> dict[str, Any]:
    """Ask for the year as docs/airflow.md says, and wait for all that follows."""
    given = ("--dag-id", MONTHLY, "--from-date", RUNS[0], "--to-date", RUNS[1], "--max-active-runs", "1", "--reprocess-behavior", behaviour)
    # The scheduler notes now and then which backfills have ended, and lets no second one begin before.
    held = f"backfills?dag_id={MONTHLY}"
    airflow._wait(lambda: all(item["completed_at"] for item in airflow.ask(held)["backfills"]), "the backfill before is not noted as ended")
    since = datetime.now(UTC).isoformat()
    code, said = airflow.command("backfill", "create", *given)
    airflow._wait(lambda: all(run["state"] in ENDED for run in airflow.runs()), "the backfill does not end", 4 * PATIENCE)
    airflow.roll_ups()
    runs = [run for run in airflow.runs() if run["run_type"] == "backfill"]
    ran = [[ti for ti in airflow.tasks(run["dag_run_id"]) if ti["start_date"] and ti["start_date"] > since] for run in runs]
    spans = [{"start_date": min(ti["start_date"] for ti in tis), "end_date": max(ti["end_date"] for ti in tis)} for tis in ran if tis]
    return {
        "backfill": behaviour,
        "exit": code,
        "said": said,
        "runs": dict(Counter(run["state"] for run in runs)),
        "ran": len(spans),
        "in order of months": spans == sorted(spans, key=lambda span: str(span["start_date"])),
        "months at once": at_once(spans) if spans else 0,
    }


def _tries(airflow: Airflow, run: str) -> dict[str, int]:
    """How often each task of a run was tried, by its name and provider."""
    return {f"{ti['task_id'].rpartition('.')[2]} {ti.get('rendered_map_index') or ''}".strip(): ti["try_number"] for ti in airflow.tasks(run)}


def _clear(airflow: Airflow, run: str, task: str) -> dict[str, Any]:
    """Clear one task of the first provider with what follows it, as the page of the task does."""
    before = _tries(airflow, run)
    asked = {
        "dry_run": False,
        "dag_run_id": run,
        "task_ids": [[f"provider_month.{task}", 0]],
        "include_downstream": True,
        "only_failed": False,
    }
    airflow.api.call("POST", f"/api/v2/dags/{MONTHLY}/clearTaskInstances", asked)
    state = airflow.finish(run)
    after = _tries(airflow, run)
    return {"cleared": f"{task} {TWO[0]} {CLEARED}", "run": state, "ran again": [name for name, tries in after.items() if tries > before[name]]}


def _clear_by_command(airflow: Airflow, run: str) -> dict[str, Any]:
    """Clear a task of every provider in one month from the command line."""
    before = _tries(airflow, run)
    given = ("--task-regex", "validate", "--start-date", CLEARED_RUN, "--end-date", f"{CLEARED_RUN}T23:59", "--yes")
    code, said = airflow.command("tasks", "clear", MONTHLY, *given)
    state = airflow.finish(run)
    after = _tries(airflow, run)
    again = [name for name, tries in after.items() if tries > before[name]]
    return {"cleared": f"validate of every provider {CLEARED}", "exit": code, "said": said, "run": state, "ran again": again}


def main() -> None:
    """Parse, run, print a line of JSON for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.airflow", description="What Airflow adds to a month, and what becomes of faults")
    parser.add_argument("--providers", type=int, default=1, help="providers of the month (default 1)")
    parser.add_argument("--slots", type=int, default=4, help="how many of them may be extracted at once (default 4)")
    parser.add_argument("--faults", nargs="*", choices=[*FAULTS], help="try these faults instead (default all of them)")
    parser.add_argument("--backfill", action="store_true", help="make a year by a backfill instead, twice, and clear stages of it")
    parser.add_argument("--port", type=int, default=5541, help="PostgreSQL's port; Redis takes the next (default 5541)")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it, for a look at the logs")
    given = parser.parse_args()
    # What was started is stopped, however this ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        root = given.keep.resolve() if given.keep else Path(stack.enter_context(TemporaryDirectory()))
        # PostgreSQL runs as another user, who has to reach its own folder below.
        root.mkdir(exist_ok=True)
        root.chmod(0o711)
        if given.backfill:
            for told in backfill(root, given.port):
                print(json.dumps(told, ensure_ascii=False), flush=True)
            return
        if given.faults is None:
            print(json.dumps(overhead(write_site(root / "site", copies=given.providers, slots=given.slots), root, given.port)))
            return
        site, expected = write_site(root / "site"), root / "expected"
        without_airflow(site, expected, WITHOUT_AIRFLOW, PERIOD, "release")
        for number, name in enumerate(given.faults or FAULTS):
            print(json.dumps(try_fault(name, site, expected, root, given.port + 2 * number), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
