-- The sub-ICB of a person in a month: of the GP practice, else of the home; NULL when neither is known.
-- Grain: one row per patient record and open GP registration, and one where there is no such registration. Keys: submission, patient_row, gp_row.
SELECT
    patient.submission,
    patient.patient_row,
    registration.gp_row,
    coalesce(registration.SubICB, patient.residence_sub_icb) AS IC_Rec_CCG
FROM ips_patient AS patient
LEFT JOIN gp_registration AS registration
    ON registration.Person_ID = patient.Person_ID
    AND registration.UniqMonthID = patient.UniqMonthID
