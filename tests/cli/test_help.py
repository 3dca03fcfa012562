"""Help and completion: every command says what it does, every option what it is for, and a shell completes them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ips_pipeline.cli import ips


def commands(command: click.Command = ips, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from commands(inner, *path, name)


EVERY = [pytest.param(path, command, id=" ".join(("ips", *path))) for path, command in commands()]


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_a_command_says_what_it_does_and_an_option_what_it_is_for(path: tuple[str, ...], command: click.Command) -> None:
    said = " ".join((command.help or "").partition("\n\n")[0].split())
    assert re.match(r"[A-Z].{15,}[.:]$", said)
    options = [item for item in command.params if isinstance(item, click.Option)]
    assert [item.name for item in options if not (item.help or "").strip()] == []
    # Help is a sentence with its end, before the default in brackets.
    assert [item.name for item in options if not re.search(r"[.)](  \[.*\])?$", (item.help or "").strip())] == []


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_help_is_printed_within_the_width_of_a_page(path: tuple[str, ...], command: click.Command) -> None:
    said = CliRunner().invoke(ips, [*path, "--help"], terminal_width=110)
    assert said.exit_code == 0
    assert said.output.startswith(f"Usage: ips {' '.join(path)}".rstrip())
    assert [line for line in said.output.splitlines() if len(line) > 110] == []


def test_the_words_that_start_a_group_name_all_its_commands() -> None:
    said = CliRunner().invoke(ips, ["--help"], terminal_width=110).output
    assert all(re.search(rf"^  {name}\s+\S", said, re.MULTILINE) for name in ips.commands)


LISTING = ["list", "show", "status", "coverage", "calendar", "history", "doctor", "purge"]


@pytest.mark.parametrize(("path", "command"), [item for item in EVERY if item.values[0][-1:] and str(item.values[0][-1]) in LISTING])
def test_what_lists_something_lists_it_for_programs_too(path: tuple[str, ...], command: click.Command) -> None:
    if not isinstance(command, click.Group):
        assert "--json" in [word for item in command.params for word in item.opts]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["measures", "list"], {"id": "MHS116", "kind": "count"}),
        (["rules", "list"], {"code": "MHS10128", "table": "MHS101Referral"}),
        (["rules", "coverage"], {"code": "MHS10128", "status": "evaluated"}),
        (["examples", "list"], {"name": "borough-trust"}),
    ],
)
def test_a_list_for_programs_has_what_the_list_for_people_has(arguments: list[str], expected: dict[str, str]) -> None:
    held = json.loads(CliRunner().invoke(ips, [*arguments, "--json"]).output)
    assert [item for item in held if expected.items() <= item.items()]
    assert len(held) > 1


def test_a_measure_and_a_rule_are_told_to_programs_too() -> None:
    measure = json.loads(CliRunner().invoke(ips, ["measures", "show", "mhs116", "--json"]).output)
    assert measure["id"] == "MHS116" and measure["definition"]
    assert ("MHS101Referral", "ServiceRequestID") in [(item["table"], item["element"]) for item in measure["elements"]]
    rule = json.loads(CliRunner().invoke(ips, ["rules", "show", "mhs10128", "--json"]).output)
    assert rule["code"] == "MHS10128" and rule["table"] == "MHS101Referral" and rule["levels"] and rule["sentence"] and rule["fix"]
    check = json.loads(CliRunner().invoke(ips, ["rules", "show", "IPS-001", "--json"]).output)
    assert check["code"] == "IPS-001" and check["levels"] and check["sentence"]
    refused = CliRunner().invoke(ips, ["rules", "show", "MHS99999", "--json"])
    assert refused.exception is not None and refused.output == ""


def complete(*words: str, shell: str = "bash") -> list[str]:
    """What the shell would be offered for the last word."""
    environment = {**os.environ, "_IPS_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(("ips", *words)), "COMP_CWORD": str(len(words))}
    program = [sys.executable, "-c", "from ips_pipeline.cli import main; main()"]
    finished = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert finished.returncode == 0 and not finished.stderr
    return [line.partition(",")[2] for line in finished.stdout.splitlines()]


def test_a_shell_is_offered_commands_options_and_choices() -> None:
    assert complete("quar") == ["quarantine"]
    assert complete("quarantine", "re") == ["replay"]
    assert "--older-than" in complete("purge", "--")
    assert complete("purge", "--zone", "l") == ["landing", "lineage"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_it_accepts(shell: str) -> None:
    said = CliRunner().invoke(ips, ["completion", shell])
    assert said.exit_code == 0
    assert f"_IPS_COMPLETE={shell}_complete" in said.output
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=said.output, text=True, capture_output=True, check=False).returncode == 0


def test_a_reader_who_has_seen_enough_is_no_fault() -> None:
    program = [sys.executable, "-c", "from ips_pipeline.cli import main; main()", "rules", "list"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stderr is not None
        assert running.stdout.readline().startswith("MHS")
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0


def test_another_shell_is_refused_with_the_ones_there_are() -> None:
    refused = CliRunner().invoke(ips, ["completion", "tcsh"])
    assert refused.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in refused.output
