-- The first and the last employment status in a month's submission, by the date it was recorded; a status without a date comes first.
-- It belongs to the person, so all referrals of the person share it. A status not sent again that month is unknown.
-- Grain: one row per patient record with an employment status. Keys: submission, patient_row.
WITH recorded AS (
    SELECT
        patient.submission,
        patient.patient_row,
        status.EmployStatus,
        status.WeekHoursWorked,
        status.EmployStatusStartDate,
        row_number() OVER in_order = 1 AS is_first,
        lead(status.row) OVER in_order IS NULL AS is_last
    FROM MHS004EmpStatus AS status
    INNER JOIN ips_patient AS patient
        ON patient.submission = status.submission
        AND patient.LocalPatientID = status.LocalPatientID
    WINDOW in_order AS (
        PARTITION BY patient.submission, patient.patient_row
        ORDER BY TRY_CAST(status.EmployStatusRecDate AS DATE) NULLS FIRST, status.row
    )
),
chosen AS (
    SELECT
        submission,
        patient_row,
        max(EmployStatus) FILTER (is_first) AS first_status,
        max(EmployStatus) FILTER (is_last) AS last_status,
        max(WeekHoursWorked) FILTER (is_last) AS last_hours,
        max(EmployStatusStartDate) FILTER (is_last) AS last_start
    FROM recorded
    GROUP BY submission, patient_row
)
SELECT
    submission,
    patient_row,
    first_status IN (SELECT code FROM code_group WHERE group_name = 'employed') AS employed_first,
    first_status IN (SELECT code FROM code_group WHERE group_name = 'not employed') AS not_employed_first,
    first_status IS NULL OR first_status IN (SELECT code FROM code_group WHERE group_name = 'employment unknown') AS unknown_first,
    last_status IN (SELECT code FROM code_group WHERE group_name = 'employed') AS employed_last,
    last_status IN (SELECT code FROM code_group WHERE group_name = 'not employed') AS not_employed_last,
    last_status IS NULL OR last_status IN (SELECT code FROM code_group WHERE group_name = 'employment unknown') AS unknown_last,
    last_hours IN (SELECT code FROM code_group WHERE group_name = '30 hours or more') AS hours_30_or_more,
    last_hours IN (SELECT code FROM code_group WHERE group_name = '16 to 29 hours') AS hours_16_to_29,
    last_hours IN (SELECT code FROM code_group WHERE group_name = '15 hours or less') AS hours_15_or_less,
    last_hours IS NULL OR last_hours IN (SELECT code FROM code_group WHERE group_name = 'hours unknown') AS hours_unknown,
    last_start IS NOT NULL AS start_known
FROM chosen
