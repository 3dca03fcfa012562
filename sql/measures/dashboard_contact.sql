-- Direct contacts of the dashboard's referrals, in order over all months: the first of all is access, the first of a financial year is access in it.
-- The order is per person and referral, so a person whose identity changes every month has several first contacts.
-- Grain: one row per contact and sub-ICB of the person. Keys: submission, patient_row, ServiceRequestID, CareContactID, sub_icb.
WITH referral AS (
    SELECT DISTINCT submission, patient_row, ServiceRequestID, UniqServReqID, Person_ID, UniqMonthID, FinancialYear, sub_icb
    FROM dashboard_referral
),
contact AS (
    SELECT DISTINCT
        referral.*,
        ips_contact.CareContactID,
        ips_contact.CareContDate,
        ips_contact.ConsMechanismMH
    FROM ips_contact
    INNER JOIN referral
        ON referral.submission = ips_contact.submission
        AND referral.ServiceRequestID = ips_contact.ServiceRequestID
    WHERE ips_contact.dashboard_direct AND (ips_contact.by_team OR ips_contact.by_any_procedure)
)
SELECT
    *,
    row_number() OVER (
        PARTITION BY Person_ID, UniqServReqID
        ORDER BY CareContDate NULLS FIRST, submission, patient_row, CareContactID, sub_icb
    ) AS contact_order,
    row_number() OVER (
        PARTITION BY Person_ID, UniqServReqID, FinancialYear
        ORDER BY CareContDate NULLS FIRST, submission, patient_row, CareContactID, sub_icb
    ) AS contact_order_in_year
FROM contact
