-- The employment statuses of people with an IPS episode, from all months and providers. A status sent again counts once, as it was sent last.
--   state     In work, Out of work (any other known status) or Unknown (not stated, or not a code of the list)
--   ended     the end date of this spell of work that was sent last, whichever row of the spell carried it
-- A status without a recorded date cannot be placed, so it is left out; the quality measures count those.
-- Grain: one row per person, provider and recorded date. Keys: Person_ID, OrgIDProv, recorded; status_order orders them all.
WITH sent AS (
    SELECT
        record.Person_ID,
        record.OrgIDProv,
        record.UniqSubmissionID,
        status.row,
        TRY_CAST(status.EmployStatusRecDate AS DATE) AS recorded,
        CASE
            WHEN status.EmployStatus IN (SELECT code FROM code_group WHERE group_name = 'employed') THEN 'In work'
            WHEN status.EmployStatus IN (SELECT code FROM code_group WHERE group_name = 'not employed') THEN 'Out of work'
            ELSE 'Unknown'
        END AS state,
        coalesce(hours.level, 'Unknown') AS hours,
        TRY_CAST(status.EmployStatusStartDate AS DATE) AS started,
        TRY_CAST(status.EmployStatusEndDate AS DATE) AS ended
    FROM MHS004EmpStatus AS status
    INNER JOIN person_record AS record
        ON record.submission = status.submission
        AND record.LocalPatientID = status.LocalPatientID
    LEFT JOIN code_level AS hours
        ON hours.class = 'weekly hours'
        AND hours.code = status.WeekHoursWorked
),
spell AS (
    SELECT
        Person_ID,
        OrgIDProv,
        state,
        started,
        max({'UniqSubmissionID': UniqSubmissionID, 'row': row, 'ended': ended}).ended AS ended
    FROM sent
    WHERE ended IS NOT NULL AND started IS NOT NULL
    GROUP BY Person_ID, OrgIDProv, state, started
),
latest AS (
    SELECT *
    FROM sent
    WHERE recorded <= getvariable('period_end')
    QUALIFY row_number() OVER (PARTITION BY Person_ID, OrgIDProv, recorded ORDER BY UniqSubmissionID DESC, row DESC) = 1
)
SELECT
    latest.Person_ID,
    latest.OrgIDProv,
    latest.recorded,
    latest.state,
    latest.hours,
    latest.started,
    coalesce(spell.ended, latest.ended) AS ended,
    row_number() OVER (ORDER BY latest.Person_ID, latest.recorded, latest.OrgIDProv) AS status_order
FROM latest
LEFT JOIN spell
    ON spell.Person_ID = latest.Person_ID
    AND spell.OrgIDProv = latest.OrgIDProv
    AND spell.state = latest.state
    AND spell.started = latest.started
