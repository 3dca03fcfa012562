-- The sub-ICBs the dashboard counts a patient record under, how many they are, and each as often as the person has open GP registrations.
-- Grain: one row per patient record, sub-ICB and open GP registration. Keys: none, rows may repeat.
WITH registration AS MATERIALIZED (
    -- Codes that say nowhere have no successor and no name, so a code and its successor decide everything else.
    SELECT
        patient_sub_icb.submission,
        patient_sub_icb.patient_row,
        CASE
            WHEN patient_sub_icb.IC_Rec_CCG IN (SELECT code FROM code_group WHERE group_name = 'no sub-ICB') THEN 'Missing / Invalid'
            ELSE coalesce(changed.NewSubICB, patient_sub_icb.IC_Rec_CCG, 'Missing / Invalid')
        END AS sub_icb
    FROM patient_sub_icb
    LEFT JOIN commissioner_code_change AS changed ON changed.OldSubICB = patient_sub_icb.IC_Rec_CCG
),
place AS MATERIALIZED (
    SELECT DISTINCT submission, patient_row, sub_icb
    FROM registration
),
counted AS (
    SELECT submission, patient_row, count(*) AS sub_icbs
    FROM place
    GROUP BY submission, patient_row
)
SELECT place.*, counted.sub_icbs
FROM place
INNER JOIN counted
    ON counted.submission = place.submission
    AND counted.patient_row = place.patient_row
INNER JOIN registration
    ON registration.submission = place.submission
    AND registration.patient_row = place.patient_row
