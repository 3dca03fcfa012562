"""The command line as a person meets it: one line for an error, an exit code per class, quiet in a pipe."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
CASE = HERE / "conformance" / "case-small"


def ips(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from ips_pipeline.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def one_line(finished: subprocess.CompletedProcess[str]) -> str:
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    return lines[0]


def submission(folder: Path, **tables: str) -> Path:
    folder.mkdir(parents=True)
    header = (
        "DatSetVer,OrgIDProvider,OrgIDSubmit,PrimSystemInUse,ReportingPeriodStartDate,ReportingPeriodEndDate,DateTimeDatSetCreate\n"
        "6.0,RXZ,RXZ,SYSTEM,2026-08-01,2026-08-31,2026-09-10T09:00:00\n"
    )
    for name, text in {"MHS000Header": header, **tables}.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


GOOD = {
    "MHS001MPI": (
        "LocalPatientID,OrgIDLocalPatientID,NHSNumber,NHSNumberStatus,PersonBirthDate,Postcode,GenderIDCode\n"
        "P1,RXZ,9990000018,01,1990-01-01,LS1 1AA,1\nP2,RXZ,,07,1980-02-02,LS1 2AA,2\n"
    ),
    "MHS002GP": "LocalPatientID,GMPReg,StartDateGMPRegistration\nP1,A81001,2020-01-01\nP2,A81001,2020-01-01\n",
    "MHS101Referral": (
        "ServiceRequestID,LocalPatientID,OrgIDComm,ReferralRequestReceivedDate,CareProfTeamLocalID\n"
        "S1,P1,11M,2026-08-03,T1\nS2,P2,11M,2026-08-04,T1\n"
    ),
}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    folder = tmp_path / "reference"
    folder.mkdir()
    return folder


def test_a_clean_submission_is_accepted(tmp_path: Path, reference: Path) -> None:
    folder = submission(tmp_path / "RXZ" / "2026-08", **GOOD)
    finished = ips("validate", folder, "--reference", reference, "--out", tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    assert "accepted" in finished.stdout
    rejecting = [row for row in table(tmp_path / "out" / "findings.csv") if row["level"] in ("file", "group", "record")]
    assert rejecting == []
    assert table(tmp_path / "out" / "rejected_rows.csv") == []


def test_one_bad_nhs_number_rejects_the_file_with_exit_code_13_and_no_value_on_the_screen(tmp_path: Path, reference: Path) -> None:
    bad = {**GOOD, "MHS001MPI": GOOD["MHS001MPI"].replace("9990000018", "9990000019")}
    finished = ips("validate", submission(tmp_path / "s", **bad), "--reference", reference, "--out", tmp_path / "out")
    assert finished.returncode == 13
    assert "MHSREJ006a" in one_line(finished)
    assert "9990000019" not in finished.stdout + finished.stderr
    assert {"table": "MHS001MPI", "row": "1", "code": "MHSREJ006a", "level": "file"} in table(tmp_path / "out" / "findings.csv")
    gone = [(row["table"], row["row"]) for row in table(tmp_path / "out" / "rejected_rows.csv")]
    assert gone == [("MHS001MPI", "1"), ("MHS002GP", "1"), ("MHS101Referral", "1")]


def test_several_folders_write_into_a_folder_each_and_share_names_safely(tmp_path: Path, reference: Path) -> None:
    first, second = submission(tmp_path / "RXA" / "2026-08", **GOOD), submission(tmp_path / "RXB" / "2026-08", **GOOD)
    third = submission(tmp_path / "RXB" / "2026-07", **GOOD)
    assert ips("validate", first, third, "--reference", reference, "--out", tmp_path / "a").returncode == 0
    assert (tmp_path / "a" / "2026-08" / "findings.csv").is_file() and (tmp_path / "a" / "2026-07" / "findings.csv").is_file()
    assert ips("validate", first, second, "--reference", reference, "--out", tmp_path / "b").returncode == 0
    assert (tmp_path / "b" / "RXA" / "2026-08" / "findings.csv").is_file() and (tmp_path / "b" / "RXB" / "2026-08" / "findings.csv").is_file()


def test_portal_options_stand_for_the_login_and_the_period(tmp_path: Path, reference: Path) -> None:
    folder = submission(tmp_path / "s", **GOOD)
    options = ["--provider", "RXY", "--submitter", "RXY", "--period", "2026-07", "--uploaded", "2026-09-01T09:00:00"]
    assert ips("validate", folder, "--reference", reference, "--out", tmp_path / "out", *options).returncode == 13
    codes = {row["code"] for row in table(tmp_path / "out" / "findings.csv") if row["table"] == "MHS000Header"}
    assert {"MHS00016", "MHS00019", "MHS00030", "MHS00033", "MHS00027", "MHSREJ012", "MHSREJ015"} <= codes


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["validate", "{tmp}/nowhere", "--reference", "{tmp}", "--out", "{tmp}/out"], 11, "nowhere"),
        (["measures", "--submissions", "{tmp}/nowhere", "--reference", "{tmp}", "--period", "2026-08", "--out", "{tmp}/out"], 11, "nowhere"),
        (["measures", "--submissions", "{tmp}", "--reference", "{tmp}/nowhere", "--period", "2026-08", "--out", "{tmp}/out"], 11, "nowhere"),
        (["run", "--config", "{tmp}/SITE.toml", "--period", "2026-08"], 2, "SITE.toml"),
    ],
)
def test_what_cannot_be_found_is_named_in_one_line(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    finished = ips(*[argument.format(tmp=tmp_path) for argument in arguments])
    assert finished.returncode == code
    assert said in one_line(finished)


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["validate"], ["measures", "--period", "2026-13"], ["run", "--period", "2026-08"], ["validate", "x", "--edition", "7"]],
)
def test_wrong_usage_ends_with_2_and_says_how(arguments: list[str]) -> None:
    finished = ips(*arguments)
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    assert "Error:" in finished.stderr


def test_measures_write_what_the_contract_names(tmp_path: Path) -> None:
    finished = ips(
        "measures", "--submissions", CASE / "submissions", "--reference", CASE / "reference", "--period", "2026-08", "--out", tmp_path / "out"
    )
    assert finished.returncode == 0, finished.stderr
    assert "MHS116 for England is 81" in finished.stdout
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"publication/MHSDS Data_AugPerf_2026_RAW_bbrb.csv", "publication/MHSDS Data_AugPerf_2026_bbrb.csv", "measures.parquet"} <= names


def test_without_postcodes_it_is_said_that_nobody_lives_elsewhere(tmp_path: Path) -> None:
    shutil.copytree(CASE / "reference", tmp_path / "reference")
    given = ("measures", "--submissions", CASE / "submissions", "--reference", tmp_path / "reference", "--period", "2026-08", "--out")
    assert "outside England" not in ips(*given, tmp_path / "with").stderr
    (tmp_path / "reference/postcodes.csv").unlink()
    assert "Nobody is left out for living outside England: that test needs postcodes.csv" in ips(*given, tmp_path / "without").stderr


def test_help_needs_no_heavy_import() -> None:
    program = "import sys; from ips_pipeline import cli; assert not {'duckdb', 'pandas', 'great_expectations', 'pyarrow'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert ips("--help").returncode == 0


def test_without_the_dags_beside_the_package_the_demo_by_airflow_ends_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is installed from a wheel."""
    from ips_pipeline import cli
    from ips_pipeline.errors import UsageError

    monkeypatch.setattr(cli, "__file__", str(tmp_path / "ips_pipeline" / "cli.py"))
    with pytest.raises(UsageError, match="leave --airflow out"):
        cli.demo.main(["--airflow", "--out", str(tmp_path / "out")], standalone_mode=False)
    assert not (tmp_path / "out").exists()
