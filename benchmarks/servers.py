"""Throw-away PostgreSQL and MariaDB servers with TLS, for the tests of databases and the benchmark of the extract.

A server keeps its data in a temporary folder, listens on a free port of 127.0.0.1, and is gone when its ``with`` ends. Where the process is
root the server runs as the account of its package, since neither will run as root. The certificate is good for 127.0.0.1 and 127.0.0.2: what
listens at the second (see ``tests/databases``) is another machine as far as the pipeline knows.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Kind = Literal["postgresql", "mariadb"]

#: Seconds a server has to start or to stop.
PATIENCE = 60

#: Where distributions put servers that are not on the path; the newest version is taken.
_PLACES: dict[Kind, tuple[str, Sequence[str]]] = {
    "postgresql": ("postgres", ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")),
    "mariadb": ("mariadbd", ("/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/opt/homebrew/opt/mariadb/bin")),
}
_ACCOUNTS: dict[Kind, str] = {"postgresql": "postgres", "mariadb": "mysql"}


class NoServerError(Exception):
    """A server is not installed here."""


@dataclass(slots=True)
class Server:
    """A running server: ``ca`` is the certificate that vouches for its own; ``tls`` whether it offers encryption from its next start."""

    kind: Kind
    programs: Path
    folder: Path
    port: int
    ca: Path
    tls: bool = True
    process: subprocess.Popen[bytes] | None = None

    def url(self, user: str, password: str, database: str = "epr", *, host: str = "127.0.0.1", port: int | None = None) -> str:
        """The SQLAlchemy URL of a login."""
        dialect = "postgresql+psycopg" if self.kind == "postgresql" else "mysql+pymysql"
        return f"{dialect}://{user}:{password}@{host}:{port or self.port}/{database}"

    def run(self, script: str, database: str = "epr") -> str:
        """Run SQL as the administrator by the server's own client; gives what it prints, tab-separated. Raises CalledProcessError."""
        done = subprocess.run(self.client(database), input=script, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def client(self, database: str = "epr") -> list[str]:
        """The command of the server's own client, as its administrator."""
        if self.kind == "postgresql":
            quiet = ["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
            return [str(self.programs / "psql"), *quiet, "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-d", database]
        return [
            _program("mariadb"),
            "--no-defaults",
            "--batch",
            "--skip-column-names",
            "--quick",
            "-S",
            str(self.folder / "sock"),
            "-u",
            "root",
            database,
        ]

    def start(self) -> None:
        """Start it and wait until it answers."""
        data, pem = self.folder / "data", self.folder / "server.pem"
        if self.kind == "postgresql":
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": self.port,
                "unix_socket_directories": self.folder,
                "ssl": "on" if self.tls else "off",
                "ssl_cert_file": pem,
                "ssl_key_file": pem,
                "fsync": "off",
                "max_connections": 20,
                "shared_buffers": "64MB",
                "max_wal_size": "2GB",
            }
            command = [str(self.programs / "postgres"), "-D", str(data), *(f"--{key}={value}" for key, value in settings.items())]
        else:
            settings = {
                "datadir": data,
                "socket": self.folder / "sock",
                "port": self.port,
                "bind-address": "127.0.0.1",
                "pid-file": self.folder / "pid",
                **({"ssl-ca": self.ca, "ssl-cert": pem, "ssl-key": pem} if self.tls else {"ssl": "0"}),
                "innodb-flush-log-at-trx-commit": 0,
                "innodb-buffer-pool-size": "64M",
                "secure-file-priv": self.folder,
            }
            command = [
                str(self.programs / "mariadbd"),
                "--no-defaults",
                "--skip-name-resolve",
                *(f"--{key}={value}" for key, value in settings.items()),
            ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **_account(self.kind))
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            system = "postgres" if self.kind == "postgresql" else "mysql"
            if subprocess.run(self.client(system), input="SELECT 1", capture_output=True, text=True, check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.kind} did not start; its log ends: {(self.folder / 'log').read_text(errors='replace')[-1000:]}")

    def stop(self) -> None:
        """Stop it as an administrator does who does not wait for sessions to end; nothing when it has stopped."""
        if self.process is not None:
            self.process.send_signal(2 if self.kind == "postgresql" else 15)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@contextmanager
def server(kind: Kind) -> Iterator[Server]:
    """A new server with an empty database ``epr``. Raises NoServerError, with the reason, where it is not installed."""
    programs = _programs(kind)
    with tempfile.TemporaryDirectory(prefix=f"ips-{kind}-") as home:
        folder = Path(home)
        ca = _certificates(folder)
        _give(folder, kind)
        made = Server(kind, programs, folder, _free_port(), ca)
        try:
            _initialise(made)
            made.start()
            made.run("CREATE DATABASE epr", "postgres" if kind == "postgresql" else "mysql")
            yield made
        finally:
            made.stop()


def other_authority(folder: Path) -> Path:
    """A certificate of an authority that vouches for no server here."""
    path = folder / "other-ca.pem"
    path.write_bytes(_authority()[1].public_bytes(serialization.Encoding.PEM))
    return path


def _programs(kind: Kind) -> Path:
    program, places = _PLACES[kind]
    found = [path for place in places for path in Path("/").glob(f"{place.lstrip('/')}/{program}")]
    if not found and (on_path := shutil.which(program)):
        found = [Path(on_path)]
    if not found:
        raise NoServerError(f"{kind} is not installed here: there is no program {program}")
    if os.geteuid() == 0 and not any(account.pw_name == _ACCOUNTS[kind] for account in pwd.getpwall()):
        raise NoServerError(f"{kind} does not run as root, and there is no account {_ACCOUNTS[kind]}")
    return max(found, key=lambda path: [int(part) for part in path.parts if part.isdigit()]).parent


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NoServerError(f"there is no program {name} here")
    return found


def _account(kind: Kind) -> dict[str, Any]:
    """How a process is started as the account of a server, where this one is root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(_ACCOUNTS[kind])
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}


def _give(folder: Path, kind: Kind) -> None:
    """Let the account of a server own a folder and what is in it."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, _ACCOUNTS[kind], _account(kind)["group"])


def _initialise(made: Server) -> None:
    data = made.folder / "data"
    if made.kind == "postgresql":
        command = [str(made.programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    else:
        options = ["--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        command = [_program("mariadb-install-db"), *options]
    done = subprocess.run(command, capture_output=True, check=False, **_account(made.kind))
    if done.returncode:
        raise RuntimeError(f"{made.kind} could not be set up: {(done.stdout + done.stderr)[-1000:].decode(errors='replace')}")
    if made.kind == "postgresql":
        # The administrator comes by the socket, whose folder is the account's own; everybody else with a password.
        (data / "pg_hba.conf").write_text("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A test's authority")])
    made = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    made = made.add_extension(usage, critical=True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return key, made.sign(key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number())
    return made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=2))


def _certificates(folder: Path) -> Path:
    """Write ``ca.pem`` and ``server.pem`` (certificate and key); gives the first."""
    authority_key, authority = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    made = _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A test's server")]), authority.subject, key)
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "127.0.0.2"))]
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    own = made.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    own += key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    ca, pem = folder / "ca.pem", folder / "server.pem"
    ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    pem.touch(mode=0o600)
    pem.write_bytes(own)
    return ca
