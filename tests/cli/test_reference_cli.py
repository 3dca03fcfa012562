"""ips reference, as a person meets it: what was imported, what a folder holds, and one line for a wrong file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def ips(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from ips_pipeline.cli import main; main()", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def trusts(path: Path) -> Path:
    """Two trusts in the 27 fields of an ODS report."""
    fields = [["RAA", "ALPHA NHS TRUST", *[""] * 8, "20010401", *[""] * 16], ["RBB", "BETA NHS TRUST", *[""] * 8, "20010401", *[""] * 16]]
    path.write_text("".join(",".join(row) + "\n" for row in fields), encoding="utf-8")
    return path


def test_import_and_show(tmp_path: Path) -> None:
    into = tmp_path / "reference"
    done = ips("reference", "import", trusts(tmp_path / "etr.csv"), "--into", into, "--edition", "November 2026", "--valid-from", "2026-11-01")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "NHS trusts (ODS etr), November 2026: 2 rows in providers.csv\n"
    shown = ips("reference", "show", into).stdout.splitlines()
    assert shown[0].split() == ["providers.csv", "as", "imported"]
    assert shown[1].strip() == "2 rows  NHS trusts (ODS etr), November 2026, valid 2026-11-01 to …"


def test_a_wrong_file_is_one_line_and_its_exit_code(tmp_path: Path) -> None:
    page = tmp_path / "etr.csv"
    page.write_text("<html><body>403 Forbidden</body></html>")
    refused = ips("reference", "import", page, "--into", tmp_path / "reference")
    assert refused.returncode == 11
    assert refused.stderr.strip().splitlines() == [
        f"ips: {page} is a web page, not the download; open its address in a browser and save the file it leads to"
    ]
    assert ips("reference", "import", trusts(page), "--into", tmp_path / "reference", "--kind", "trusts").returncode == 2


def test_every_layout_says_where_the_download_is() -> None:
    listed = ips("reference", "layouts").stdout
    for kind in ("geography", "epraccur", "etr", "onspd", "iod2019", "iod2025", "population_subicb", "population_lsoa", "census2021"):
        assert f"{kind} " in listed
    assert listed.count("https://") == 9
