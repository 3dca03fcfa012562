-- The contacts on referrals that may have to do with IPS, whatever came of them, as submitted.
-- Grain: one row per row of MHS201 on such a referral. Keys: submission, row.
SELECT contact.*
FROM MHS201CareContact AS contact
INNER JOIN submission ON submission.submission = contact.submission
SEMI JOIN near_referral
    ON near_referral.OrgIDProv = submission.OrgIDProv
    AND near_referral.ServiceRequestID IS NOT DISTINCT FROM contact.ServiceRequestID
