"""Kill the process at every file operation of a stage write: what is in force is the old content or the new one, and whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ips_pipeline.store import stages

# An audit hook sees every file operation of the interpreter; at the chosen one the process is killed as by `kill -9`.
_CHILD = """
import os, signal, sys
from pathlib import Path
from ips_pipeline.store import stages
home, fatal = Path(sys.argv[1]), int(sys.argv[2])
count = 0
def hook(event, arguments):
    global count
    if event in ("open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir") and any(str(home) in str(item) for item in arguments):
        count += 1
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
def build(folder):
    (folder / "sub").mkdir()
    (folder / "a.txt").write_text("new")
    (folder / "sub" / "b.txt").write_text("new" * 1000)
    return {"rows": 2}
sys.addaudithook(hook)
stages.write(home / "shelf", build, staging=home / "staging")
print(count)
"""


def _old(folder: Path) -> dict[str, int]:
    (folder / "a.txt").write_text("old")
    return {"rows": 1}


def test_whatever_the_moment_the_content_in_force_is_whole(tmp_path: Path) -> None:
    fatal, survived, seen = 0, False, set()
    while not survived:
        fatal += 1
        home = tmp_path / str(fatal)
        before = stages.write(home / "shelf", _old, staging=home / "staging")
        finished = subprocess.run([sys.executable, "-c", _CHILD, str(home), str(fatal)], check=False, capture_output=True, text=True)
        survived = finished.returncode == 0
        assert survived or finished.returncode == -9, finished.stderr
        held = stages.current(home / "shelf")
        assert held is not None
        stages.verify(held)
        new = held.identity != before.identity
        seen.add(new)
        assert (held.path / "a.txt").read_text() == ("new" if new else "old")
        # A second run completes whatever was left, and its leftovers do not stand in the way.
        again = subprocess.run([sys.executable, "-c", _CHILD, str(home), "0"], check=True, capture_output=True, text=True)
        assert again.returncode == 0
        held = stages.current(home / "shelf")
        assert held is not None and (held.path / "a.txt").read_text() == "new"
    assert fatal > 15, "the hook saw too few operations to prove anything"
    assert seen == {True, False}
