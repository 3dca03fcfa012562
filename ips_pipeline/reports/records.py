"""Whose record a row is, and which team answers for it: the ids with which a person finds it at source.

A row is known by its own keys; what it lacks it has from the row it depends on, up to the referral and the person. The team is
the one that the row names, else that of its referral, else the teams that hold a referral of the person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ips_pipeline.mhsds.standard import Standard, Table
from ips_pipeline.store.duck import Connection, create_table, identifier, text_literal

#: The element of each id that a person looks a record up by.
PATIENT, REFERRAL, CONTACT = "LocalPatientID", "ServiceRequestID", "CareContactID"
_IDS = (PATIENT, REFERRAL, CONTACT)
#: The elements that name a team.
_TEAMS = ("CareProfTeamLocalID", "OtherCareProfTeamLocalID")
#: Tables that others name without belonging to them: a member of staff, a second team.
_NOT_OWNERS = frozenset({"MHS901", "MHS102"})

_HEADER, _REFERRALS, _SECOND_TEAMS, _TEAM_DETAILS = "MHS000", "MHS101", "MHS102", "MHS902"


def identity(table: Table) -> tuple[str, ...]:
    """The elements by which a row is known again in another upload: its key, else what must be unique, else everything."""
    keys = tuple(field.element for field in table.fields if field.key)
    unique = next((tuple(rule.arguments["elements"]) for rule in table.rules if rule.kind == "unique"), ())
    return keys or unique or table.elements


def to_read(standard: Standard, flagged: Iterable[str]) -> dict[str, set[str]]:
    """Table name -> the elements that ``find`` needs, given the names of the tables that have flagged rows."""
    wanted: dict[str, set[str]] = {}
    there = [standard.table(name) for name in flagged]
    fixed = [standard.table(name) for name in (_REFERRALS, _SECOND_TEAMS, _TEAM_DETAILS)] if there else []
    for table in (*there, *fixed):
        held = wanted.setdefault(table.name, set())
        held.update(element for element in (*_IDS, *_TEAMS) if element in table.elements)
        climbed = table
        while link := _owner(standard, climbed):
            key, owner = link
            wanted.setdefault(climbed.name, set()).add(key)
            wanted.setdefault(owner.name, set()).update(
                [key, *(element for element in (*_IDS, *_TEAMS) if element in owner.elements)],
            )
            climbed = owner
    for table in there:
        wanted[table.name].update(identity(table))
    if there:
        wanted[standard.table(_TEAM_DETAILS).name].add("ServTeamTypeMH")
    return wanted


def find(connection: Connection, standard: Standard, flagged: Iterable[str]) -> None:
    """Make ``place``, ``place_team`` and ``team`` from ``flagged`` (submission, table_name, row) and the tables that ``to_read`` names.

    ``place``: submission, table_name, row, patient, referral, contact; one row per flagged row of a table.
    ``place_team``: submission, table_name, row, team; one row per flagged row and team that answers for it; team is NULL where none does.
    ``team``: submission, team, kind (the type of the team in words); one row per team that the submission describes.
    """
    connection.execute(
        "CREATE TABLE place (submission INTEGER, table_name VARCHAR, row BIGINT, patient VARCHAR, referral VARCHAR, contact VARCHAR, own VARCHAR)"
    )
    there = sorted(set(flagged))
    made: set[str] = set()
    for name in there:
        table = standard.table(name)
        connection.execute(
            f"INSERT INTO place SELECT flagged.submission, flagged.table_name, flagged.row, known.patient, known.referral, known.contact, known.team"
            f" FROM flagged JOIN ({_known(connection, standard, table, made)}) AS known USING (submission, row)"
            f" WHERE flagged.table_name = {text_literal(name)}"
        )
    _teams(connection, standard, there)


def _known(connection: Connection, standard: Standard, table: Table, made: set[str]) -> str:
    """SQL for submission, row, patient, referral, contact and team of every row of a table; makes what it joins to, once."""

    def own(elements: Iterable[str], owner: str | None) -> str:
        held = [f"base.{identifier(element)}" for element in elements if element in table.elements]
        held += [f"owner.{owner}"] if owner and link else []
        return f"coalesce({', '.join(held)})" if held else "CAST(NULL AS VARCHAR)"

    link = _owner(standard, table)
    join = ""
    if link:
        key, owner = link
        relation = f"{owner.name} by {key}"
        if relation not in made:
            made.add(relation)
            inner = _known(connection, standard, owner, made)
            # A key that stands in several rows gives one of them, always the same.
            connection.execute(
                f"CREATE TABLE {identifier(relation)} AS SELECT known.submission, base.{identifier(key)} AS link, min(patient) AS patient,"
                f" min(referral) AS referral, min(contact) AS contact, min(team) AS team FROM ({inner}) AS known"
                f" JOIN {identifier(owner.name)} AS base USING (submission, row) WHERE base.{identifier(key)} IS NOT NULL GROUP BY ALL"
            )
        join = f" LEFT JOIN {identifier(relation)} AS owner ON owner.submission = base.submission AND owner.link = base.{identifier(key)}"
    return (
        f"SELECT base.submission, base.row, {own([PATIENT], 'patient')} AS patient, {own([REFERRAL], 'referral')} AS referral,"
        f" {own([CONTACT], 'contact')} AS contact, {own(_TEAMS, 'team')} AS team FROM {identifier(table.name)} AS base{join}"
    )


def _owner(standard: Standard, table: Table) -> tuple[str, Table] | None:
    """The key and the table of the row that a row belongs to; None where it names its person itself, or nobody."""
    if PATIENT in table.elements:
        return None
    for field in table.fields:
        if field.parent and (found := field.parent.partition("."))[0] not in _NOT_OWNERS:
            return field.element, standard.table(found[0])
    return None


def _teams(connection: Connection, standard: Standard, flagged: Iterable[str]) -> None:
    connection.execute("CREATE TABLE team (submission INTEGER, team VARCHAR, kind VARCHAR)")
    if not flagged:
        connection.execute("CREATE TABLE place_team (submission INTEGER, table_name VARCHAR, row BIGINT, team VARCHAR)")
        return
    referrals, seconds, details = (identifier(standard.table(name).name) for name in (_REFERRALS, _SECOND_TEAMS, _TEAM_DETAILS))
    connection.execute(
        f"""CREATE TABLE referral_team AS
        SELECT submission, LocalPatientID AS patient, ServiceRequestID AS referral, CareProfTeamLocalID AS team
        FROM {referrals} WHERE CareProfTeamLocalID IS NOT NULL
        UNION
        SELECT second.submission, first.LocalPatientID, second.ServiceRequestID, second.OtherCareProfTeamLocalID
        FROM {seconds} AS second
        LEFT JOIN (SELECT submission, ServiceRequestID, min(LocalPatientID) AS LocalPatientID FROM {referrals} GROUP BY ALL) AS first
        USING (submission, ServiceRequestID)
        WHERE second.OtherCareProfTeamLocalID IS NOT NULL"""
    )
    connection.execute(
        """CREATE TABLE place_team AS
        SELECT DISTINCT submission, table_name, row, team FROM (
            SELECT submission, table_name, row, own AS team FROM place WHERE own IS NOT NULL
            UNION ALL
            SELECT place.submission, place.table_name, place.row, held.team
            FROM place LEFT JOIN (SELECT DISTINCT submission, referral, team FROM referral_team) AS held USING (submission, referral)
            WHERE place.own IS NULL AND place.referral IS NOT NULL
            UNION ALL
            SELECT place.submission, place.table_name, place.row, held.team
            FROM place LEFT JOIN (SELECT DISTINCT submission, patient, team FROM referral_team) AS held USING (submission, patient)
            WHERE place.own IS NULL AND place.referral IS NULL
        )"""
    )
    words = {code: meaning for code, meaning in standard.codes("ServTeamTypeMH").items() if meaning}
    create_table(connection, "team_type", {"code": list(words), "meaning": list(words.values())})
    connection.execute(
        f"INSERT INTO team SELECT details.submission, details.CareProfTeamLocalID, min(team_type.meaning) FROM {details} AS details"
        " LEFT JOIN team_type ON team_type.code = details.ServTeamTypeMH WHERE details.CareProfTeamLocalID IS NOT NULL GROUP BY ALL"
    )


def known_again(table: Table) -> str:
    """SQL for submission, row and ``record`` of every row of a table: what it is known by, and which of several such rows it is."""
    parts = ", ".join(f"coalesce({identifier(element)}, '')" for element in identity(table))
    key = f"concat_ws(chr(31), {parts})"
    return (
        f"SELECT submission, row, {key} || chr(30) || row_number() OVER (PARTITION BY submission, {key} ORDER BY row) AS record"
        f" FROM {identifier(table.name)}"
    )


def merged(first: Mapping[str, Iterable[str]], second: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """The elements to read of each table for two purposes."""
    return {name: tuple(sorted({*first.get(name, ()), *second.get(name, ())})) for name in sorted({*first, *second})}
