-- Made up; not the vendor's schema. A reporting database that a trust refreshes each night from its patient record.
-- Rows are never removed: is_deleted says that they should not have been there.
CREATE TABLE rep_client (
  client_no TEXT, nhs_number TEXT, nhs_number_state TEXT, family_name TEXT, given_name TEXT, date_of_birth DATE, sex TEXT, gender_identity TEXT,
  ethnic_group TEXT, first_language TEXT, marital_state TEXT, school TEXT, date_of_death DATE
);
-- Two records found to be one person: rows of the old one keep its number. The kept one may itself be merged later.
CREATE TABLE rep_client_merge (old_client_no TEXT, kept_client_no TEXT);
-- None, one or several a client: joined without care, it doubles clients.
CREATE TABLE rep_client_alias (client_no TEXT, alias TEXT);
CREATE TABLE rep_address (client_no TEXT, from_date DATE, postcode TEXT);
CREATE TABLE rep_practice (client_no TEXT, practice_code TEXT, from_date DATE, to_date DATE);
CREATE TABLE rep_accommodation (client_no TEXT, kind TEXT, settled TEXT, recorded_on DATE);
-- started_on is typed by hand.
CREATE TABLE rep_employment (client_no TEXT, status TEXT, recorded_on DATE, weekly_hours TEXT, started_on TEXT, ended_on DATE);
CREATE TABLE rep_referral (
  referral_no TEXT, client_no TEXT, commissioner TEXT, team_code TEXT, received_on DATE, received_at TEXT, source TEXT, referring_organisation TEXT,
  urgency TEXT, reason TEXT, discharged_on DATE, discharge_reason TEXT, rejected_on DATE, rejection_reason TEXT, is_deleted INTEGER
);
CREATE TABLE rep_referral_team (referral_no TEXT, team_code TEXT, joined_on DATE, left_on DATE, leaving_reason TEXT);
-- medium and outcome are codes of rep_lookup on the day of the entry; minutes are typed by hand.
CREATE TABLE rep_diary (
  entry_no TEXT, referral_no TEXT, team_code TEXT, entry_date DATE, entry_time TEXT, minutes TEXT, first_or_follow_up TEXT, medium TEXT, place TEXT,
  outcome TEXT, note TEXT, is_deleted INTEGER
);
-- What a code meant when; valid_to is empty while it is in use.
CREATE TABLE rep_lookup (domain TEXT, local_code TEXT, national_code TEXT, valid_from DATE, valid_to DATE);
CREATE TABLE rep_intervention (
  part_no TEXT, contact_no TEXT, minutes TEXT, snomed TEXT, finding_scheme TEXT, finding TEXT, observation TEXT, observed_value TEXT,
  observed_unit TEXT, staff_no TEXT
);
CREATE TABLE rep_other_work (
  referral_no TEXT, team_no TEXT, staff_no TEXT, done_on DATE, done_at TEXT, minutes TEXT, snomed TEXT
);
CREATE TABLE rep_admission (spell_no TEXT, referral_no TEXT, admitted_on DATE, method TEXT, discharged_on DATE);
CREATE TABLE rep_ward_stay (stay_no TEXT, ward TEXT, spell_no TEXT, from_date DATE, to_date DATE);
CREATE TABLE rep_staff (staff_no TEXT, staff_group TEXT);
CREATE TABLE rep_team (team_no TEXT, team_type TEXT, age_group TEXT, opened_on DATE);
