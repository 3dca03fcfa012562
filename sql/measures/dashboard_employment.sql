-- The first and the last employment status in a month's submission, by the date it was recorded; a status without a date comes first.
-- It belongs to the person, so all referrals of the person share it. A status not sent again that month is unknown.
--   unknown   none, or not stated
--   none      a 0, which is no code: the published dashboard writes it where no status was sent, so it reads one that was sent as unknown too,
--             but not as missing
-- Grain: one row per patient record with an employment status. Keys: submission, patient_row.
WITH recorded AS (
    SELECT
        patient.submission,
        patient.patient_row,
        status.EmployStatus,
        status.WeekHoursWorked,
        status.EmployStatusStartDate,
        create_sort_key(TRY_CAST(status.EmployStatusRecDate AS DATE), 'ASC NULLS FIRST', status.row, 'ASC NULLS FIRST') AS turn
    FROM MHS004EmpStatus AS status
    INNER JOIN ips_patient AS patient
        ON patient.submission = status.submission
        AND patient.LocalPatientID = status.LocalPatientID
),
chosen AS (
    SELECT
        submission,
        patient_row,
        arg_min_null(EmployStatus, turn) AS first_status,
        arg_max_null(EmployStatus, turn) AS last_status,
        arg_max_null(WeekHoursWorked, turn) AS last_hours,
        arg_max_null(EmployStatusStartDate, turn) AS last_start
    FROM recorded
    GROUP BY submission, patient_row
)
SELECT
    submission,
    patient_row,
    first_status IN (SELECT code FROM code_group WHERE group_name = 'employed') AS employed_first,
    first_status IN (SELECT code FROM code_group WHERE group_name = 'not employed') AS not_employed_first,
    first_status IS NULL OR first_status IN (SELECT code FROM code_group WHERE group_name = 'employment unknown') AS unknown_first,
    first_status IN (SELECT code FROM code_group WHERE group_name = 'no employment') AS none_first,
    last_status IN (SELECT code FROM code_group WHERE group_name = 'employed') AS employed_last,
    last_status IN (SELECT code FROM code_group WHERE group_name = 'not employed') AS not_employed_last,
    last_status IS NULL OR last_status IN (SELECT code FROM code_group WHERE group_name = 'employment unknown') AS unknown_last,
    last_status IN (SELECT code FROM code_group WHERE group_name = 'no employment') AS none_last,
    last_hours IN (SELECT code FROM code_group WHERE group_name = '30 hours or more') AS hours_30_or_more,
    last_hours IN (SELECT code FROM code_group WHERE group_name = '16 to 29 hours') AS hours_16_to_29,
    last_hours IN (SELECT code FROM code_group WHERE group_name = '15 hours or less') AS hours_15_or_less,
    last_hours IS NULL OR last_hours IN (SELECT code FROM code_group WHERE group_name = 'hours unknown') AS hours_unknown,
    last_start IS NOT NULL AS start_known
FROM chosen
