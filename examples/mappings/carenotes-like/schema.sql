-- Made up; not the vendor's schema. A record made of notes: what happened to a referral is a list of changes of status.
-- dob, dod and the dates of job_note are typed in any form; a dash stands for what is missing.
CREATE TABLE client (
  client_ref TEXT, nhs_no TEXT, nhs_no_check TEXT, surname TEXT, forename TEXT, dob TEXT, sex TEXT, identity TEXT, ethnicity TEXT, language TEXT,
  marital TEXT, school TEXT, dod TEXT
);
CREATE TABLE client_address (client_ref TEXT, from_date DATE, postcode TEXT);
CREATE TABLE client_doctor (client_ref TEXT, practice TEXT, from_date DATE, to_date DATE);
CREATE TABLE home_note (client_ref TEXT, kind TEXT, settled TEXT, noted_on DATE);
CREATE TABLE job_note (client_ref TEXT, status TEXT, noted_on TEXT, hours TEXT, job_start TEXT, job_end TEXT);
CREATE TABLE referral_header (
  header_no INTEGER, referral_ref TEXT, client_ref TEXT, commissioner TEXT, team TEXT, time_received TEXT, source TEXT, referrer TEXT, priority TEXT,
  reason TEXT
);
-- RECEIVED, ON HOLD, DECLINED, DISCHARGED, ENTERED IN ERROR: a row for each, in no order.
CREATE TABLE referral_status (header_no INTEGER, status TEXT, status_on DATE, status_reason TEXT);
-- JOINED, LEFT.
CREATE TABLE team_status (link_no INTEGER, referral_ref TEXT, team TEXT, status TEXT, status_on DATE, status_reason TEXT);
CREATE TABLE contact_note (
  note_ref TEXT, referral_ref TEXT, team TEXT, held_on DATE, held_at TEXT, length TEXT, visit_kind TEXT, channel TEXT, place TEXT, attendance TEXT,
  free_text TEXT, status TEXT
);
CREATE TABLE contact_part (
  part_no TEXT, contact_no TEXT, minutes TEXT, snomed TEXT, finding_scheme TEXT, finding TEXT, observation TEXT, observed_value TEXT,
  observed_unit TEXT, staff_no TEXT
);
CREATE TABLE office_note (
  referral_no TEXT, team_no TEXT, staff_no TEXT, done_on DATE, done_at TEXT, minutes TEXT, snomed TEXT
);
CREATE TABLE bed_spell (spell_no TEXT, referral_no TEXT, admitted_on DATE, method TEXT, discharged_on DATE);
CREATE TABLE bed_stay (stay_no TEXT, ward TEXT, spell_no TEXT, from_date DATE, to_date DATE);
CREATE TABLE staff_list (staff_no TEXT, staff_group TEXT);
CREATE TABLE team_list (team_no TEXT, team_type TEXT, age_group TEXT, opened_on DATE);
