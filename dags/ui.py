"""Start Airflow on this machine, for one person to open: API server, scheduler, DAG processor and triggerer on 127.0.0.1.

    python -m dags.ui [--site SITE.toml]

Without a site it serves the made-up one under demo-output/, and makes that first when it is not there; its last months are then run as samples,
in a submission window made up around today, so that there is something to see and a return to approve. The metadata lie with the
site's data, so the runs of ``python -m dags.local`` are there too. There is no schedule: a run starts by hand, or by the events of
another. Whoever holds a role at the site ([signoff.holders]) gets an account to approve returns with. Ctrl-C stops everything. For a
service that others use, see docker-compose.yml.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from dags.local import environment
from ips_pipeline import settings
from ips_pipeline.errors import IpsError, RetryableError

HOST = "127.0.0.1"
USER = "admin"
#: The API server comes first: a task that starts before it answers has nobody to report to.
COMPONENTS: Sequence[Sequence[str]] = (
    ("api-server", "--workers", "1"),
    # Task logs are read from disk here; the log servers of these two would listen on every interface.
    ("scheduler", "--skip-serve-logs"),
    ("dag-processor",),
    ("triggerer", "--skip-serve-logs"),
)
START_SECONDS = 90
#: Where ``make demo`` leaves its site.
MADE_UP = Path("demo-output")
#: How many of its last months are run as samples.
SAMPLES = 2
#: Days before and after today for which its submission window is open.
WINDOW = timedelta(days=10)
STOP_SECONDS = 20


def main(arguments: list[str] | None = None) -> int:
    """Start, say where to go, wait for Ctrl-C, stop. Returns 0, or the exit code of what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m dags.ui", description="Start Airflow with the IPS DAGs on this machine.")
    parser.add_argument("--site", type=Path, help=f"the site's SITE.toml (default: the made-up site under {MADE_UP}/)")
    parser.add_argument("--port", type=int, default=8080, help="port on 127.0.0.1; another is taken when it is in use (default 8080)")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        site, samples = (settings.load(given.site), []) if given.site else _made_up_site()
        home = site.data / "airflow"
        os.umask(0o077)
        home.mkdir(parents=True, exist_ok=True)
        port = _free_port(given.port)
        _serve(site, home, port, samples)
    except IpsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nAirflow has stopped.")
    return 0


def _made_up_site() -> tuple[settings.Site, list[str]]:
    """The site of the demonstration and its last months; made up first where ``make demo`` has not run.

    Beside its SITE.toml lies a second one with what a return needs: an outbox, and a calendar with one window around today.
    """
    from ips_pipeline import flows

    made, months = flows.make_up_site(MADE_UP.resolve())
    today = date.today()
    (made.file.parent / "calendar.csv").write_text(
        f"opens,closes,state,source\n{today - WINDOW},{today + WINDOW},provisional,made up around today\n", encoding="utf-8"
    )
    file = made.file.with_name("airflow.toml")
    top, _, rest = made.file.read_text(encoding="utf-8").partition("\n[")
    file.write_text(f'{top}\ncalendar = "calendar.csv"\noutbox = "outbox"\n\n[{rest}', encoding="utf-8")
    return settings.load(file), months[-SAMPLES:]


def _serve(site: settings.Site, home: Path, port: int, samples: Sequence[str]) -> None:
    variables = _environment(site, home, port)
    print("Starting Airflow (about half a minute) …", flush=True)
    file, users = Path(variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]), variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    names = [user.partition(":")[0] for user in users.split(",")]
    passwords = _passwords(file, names)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        _finish("db", _start("db", ("db", "migrate"), home, variables), home)
        # The DAGs are entered while the API server starts, so that the first page a person sees has them.
        entering = _start("dags", ("dags", "reserialize"), home, variables)
        pools = _start("pools", ("--site", str(site.file)), home, variables, module="dags.pools")
        for component, *options in COMPONENTS:
            running[component] = _start(component, (component, *options), home, variables)
            if component == "api-server":
                _until(running, home, port, [])
                _finish("dags", entering, home)
                _finish("pools", pools, home)
        _until(running, home, port, ["scheduler", "dag_processor", "triggerer"])
        print(f"Airflow is at http://{HOST}:{port}  user {USER}  password {passwords[USER]}", flush=True)
        if samples:
            _run_samples(Api(port, USER, passwords[USER]), samples)
            print(f"The made-up months {', '.join(samples)} run as samples; when one is accepted, a return waits for approval.", flush=True)
        if approvers := [name for name in names if name != USER]:
            print(f"Returns are approved by {', '.join(approvers)}; their passwords are in {file}", flush=True)
        print(f"Logs are in {home}. Ctrl-C stops it.", flush=True)
        while True:
            _check(running, home)
            time.sleep(1)
    finally:
        _stop(list(running.values()))


class Api:
    """Airflow's public API on this machine, as one account."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self.root = f"http://{HOST}:{port}"
        self.token = ""
        self.token = self.call("POST", "/auth/token", {"username": user, "password": password})["access_token"]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the API answers, from its JSON. Raises urllib.error.HTTPError as it comes."""
        request = urllib.request.Request(self.root + path, method=method, headers={"Content-Type": "application/json"})  # noqa: S310 - our own server
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=30) as answer:  # noqa: S310 - our own server
            return json.loads(answer.read() or b"null")

    def trigger(self, dag: str, run: str, conf: Mapping[str, Any]) -> None:
        """Start a run of a DAG under a name of its own; nothing when it was started before."""
        try:
            self.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"dag_run_id": run, "logical_date": None, "conf": dict(conf)})
        except urllib.error.HTTPError as answer:
            if answer.code != HTTP_CONFLICT:
                raise


HTTP_CONFLICT = 409


def _run_samples(api: Api, months: Sequence[str]) -> None:
    """Look the made-up site over and run its months, once."""
    api.trigger("ips_doctor", "sample", {})
    for month in months:
        api.trigger("ips_provider_month", f"sample-{month}", {"period": month})


def _environment(site: settings.Site, home: Path, port: int) -> dict[str, str]:
    """This machine's environment, without foreign Airflow settings, and with those of a small server."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__") and name != "AIRFLOW_CONFIG"}
    return {
        **inherited,
        **environment(site.file, home),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), inherited.get("PYTHONPATH", "")])),
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": _fernet_key(home / "ui-fernet-key"),
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join((f"{USER}:admin", *(f"{person}:user" for person in _approvers(site)))),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "ui-passwords.json"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "IPS_SCHEDULE": "",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }


def _approvers(site: settings.Site) -> list[str]:
    """The accounts that hold a role at the site, as far as Airflow's simple login can have them."""
    named = {person for people in site.signoff.holders.values() for person in people}
    return sorted(person for person in named if person != USER and not set(person) & set(":, "))


def _passwords(file: Path, users: Sequence[str]) -> dict[str, str]:
    """Each account's password: made once, kept in a file that only its owner can read."""
    held: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    held |= {user: secrets.token_urlsafe(12) for user in users if user not in held}
    file.write_text(json.dumps(held) + "\n", encoding="utf-8")
    return held


def _fernet_key(file: Path) -> str:
    """The key that encrypts the passwords of connections in the metadata: made once, kept in a file that only its owner can read."""
    if not file.is_file():
        file.write_text(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() + "\n", encoding="ascii")
    return file.read_text(encoding="ascii").strip()


def _start(name: str, command: Sequence[str], home: Path, variables: Mapping[str, str], *, module: str = "airflow") -> subprocess.Popen[bytes]:
    """Start one component in a session of its own, so that it can be stopped together with all it starts."""
    with (home / f"ui-{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, *command], env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _finish(name: str, process: subprocess.Popen[bytes], home: Path) -> None:
    if process.wait() != 0:
        raise RetryableError(f"Airflow's metadata could not be prepared; see {home / f'ui-{name}.log'}")


def _until(running: Mapping[str, subprocess.Popen[bytes]], home: Path, port: int, wanted: Sequence[str]) -> None:
    """Wait until the API server answers and reports the wanted components healthy."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _check(running, home)
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(f"http://{HOST}:{port}/api/v2/monitor/health", timeout=5) as answer:
            health = json.load(answer)
            if all((health[component] or {}).get("status") == "healthy" for component in wanted):
                return
        time.sleep(0.5)
    raise RetryableError(f"Airflow did not become healthy within {START_SECONDS} s; see the logs ui-*.log in {home}")


def _check(running: Mapping[str, subprocess.Popen[bytes]], home: Path) -> None:
    for component, process in running.items():
        if process.poll() is not None:
            raise RetryableError(f"Airflow's {component} ended by itself; see {home / f'ui-{component}.log'}")


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End every component and all it started: politely, then not."""
    for signal_number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 1)):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and any(_alive(process) for process in processes):
            time.sleep(0.2)


def _alive(process: subprocess.Popen[bytes]) -> bool:
    """Whether anything of the component's group is left, its children included."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise RetryableError(f"No port is free on {HOST}; close something and run again")


if __name__ == "__main__":
    sys.exit(main())
