-- Stays in hospital of the people with an IPS contact, at any provider. A stay sent in several months counts once, as it was sent last.
-- A stay without a discharge lasts to the end of the last month it was sent in. The last day is not a night, so it is not part of the stay.
-- Grain: one row per provider and spell. Keys: OrgIDProv, HospProvSpellID.
WITH sent AS (
    SELECT
        record.Person_ID,
        record.OrgIDProv,
        spell.HospProvSpellID,
        TRY_CAST(spell.StartDateHospProvSpell AS DATE) AS started,
        TRY_CAST(spell.DischDateHospProvSpell AS DATE) AS discharged,
        record.ReportingPeriodEndDate
    FROM MHS501HospProvSpell AS spell
    INNER JOIN MHS101Referral AS referral
        ON referral.submission = spell.submission
        AND referral.ServiceRequestID = spell.ServiceRequestID
    INNER JOIN person_record AS record
        ON record.submission = referral.submission
        AND record.LocalPatientID = referral.LocalPatientID
    QUALIFY row_number() OVER (
        PARTITION BY record.OrgIDProv, spell.HospProvSpellID
        ORDER BY record.UniqSubmissionID DESC, spell.row DESC, referral.row DESC
    ) = 1
)
SELECT
    Person_ID,
    OrgIDProv,
    HospProvSpellID,
    started,
    discharged,
    -- The night after the last known day of an open stay is not yet slept.
    least(coalesce(discharged, ReportingPeriodEndDate), getvariable('period_end')) AS nights_until
FROM sent
WHERE started <= getvariable('period_end')
