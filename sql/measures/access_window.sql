-- The referrals that MHS116 counts in the twelve months to the reporting month ('current') and in the twelve months to the month before it
-- ('previous'), each described by the record of its first contact in those months; the last month with a contact says when it will leave.
-- Grain: one row per window and referral. Keys: span, UniqServReqID.
WITH month AS (
    SELECT *, 'current' AS span
    FROM access_month
    WHERE UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')

    UNION ALL

    SELECT *, 'previous' AS span
    FROM access_month
    WHERE UniqMonthID BETWEEN getvariable('window_first_month') - 1 AND getvariable('window_last_month') - 1
)
SELECT
    span,
    UniqServReqID,
    OrgIDProv,
    Person_ID,
    submission,
    patient_row,
    RecordNumber,
    UniqMonthID AS first_month,
    first_contact,
    max(UniqMonthID) OVER (PARTITION BY span, UniqServReqID) AS last_month
FROM month
QUALIFY row_number() OVER (PARTITION BY span, UniqServReqID ORDER BY NOT undated, first_contact NULLS FIRST, RecordNumber) = 1
