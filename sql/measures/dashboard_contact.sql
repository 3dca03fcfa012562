-- Direct contacts of the dashboard's referrals, in order over all months: the first of all is access, the first of a financial year is access in it.
-- The order is per person and referral, so a person whose identity changes every month has several first contacts.
-- Grain: one row per contact and sub-ICB of the person. Keys: submission, patient_row, ServiceRequestID, CareContactID, sub_icb.
WITH referral AS (
    SELECT DISTINCT submission, patient_row, ServiceRequestID, UniqServReqID, Person_ID, UniqMonthID, FinancialYear, sub_icb
    FROM dashboard_referral
),
contact AS (
    SELECT DISTINCT submission, ServiceRequestID, CareContactID, CareContDate, ConsMechanismMH
    FROM ips_contact
    WHERE dashboard_direct AND (by_team OR by_any_procedure)
)
SELECT
    referral.*,
    contact.CareContactID,
    contact.CareContDate,
    contact.ConsMechanismMH,
    row_number() OVER (
        PARTITION BY referral.Person_ID, referral.UniqServReqID
        ORDER BY contact.CareContDate NULLS FIRST, referral.submission, referral.patient_row, contact.CareContactID, referral.sub_icb
    ) AS contact_order,
    row_number() OVER (
        PARTITION BY referral.Person_ID, referral.UniqServReqID, referral.FinancialYear
        ORDER BY contact.CareContDate NULLS FIRST, referral.submission, referral.patient_row, contact.CareContactID, referral.sub_icb
    ) AS contact_order_in_year
FROM contact
INNER JOIN referral
    ON referral.submission = contact.submission
    AND referral.ServiceRequestID = contact.ServiceRequestID
