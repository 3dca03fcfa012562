"""Commands of the people who run a site: doctor, purge, quarantine, completion. Parsed here, done by the modules of those names."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ips_pipeline.cli_returns import FILE
from ips_pipeline.errors import InputError, IpsError, PublishError, RetryableError, UsageError

_config = click.option("--config", type=FILE, required=True, help="The site's SITE.toml.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@click.command("doctor")
@_config
@_as_json
def doctor(config: Path, as_json: bool) -> None:
    """Look a site over before a run does: settings, drivers, sources, permissions, disk, clock, reference files, calendar, Airflow.

    One line a check: ok, a warning, or a fault with the next step. Each source is opened read-only and timed; nothing is read from it
    and nothing is changed. Ends with 0 when there are only warnings, else with the exit code of the first fault.
    """
    from ips_pipeline.doctor import State, examine, worst

    found = examine(config)
    if as_json:
        click.echo(
            json.dumps([{"check": item.name, "state": item.state, "found": item.found, "exit_code": item.exit_code} for item in found], indent=1)
        )
    else:
        width = max(len(item.name) for item in found)
        for item in found:
            click.echo(f"{item.state:<7}  {item.name:<{width}}  {item.found}")
    if code := worst(found):
        faults = [item.name for item in found if item.state is State.FAULT]
        kind = next(kind for kind in (UsageError, InputError, PublishError, RetryableError, IpsError) if kind.exit_code == code)
        raise kind(f"{len(faults)} of {len(found)} checks found a fault: {', '.join(faults)}; each line says what to do")


COMMANDS = (doctor,)
