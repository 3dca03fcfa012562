-- Made up; not the vendor's schema. An extract of a shared record: every moment in UTC, blank strings for what is missing.
-- MariaDB and SQL Server know TIMESTAMP WITH TIME ZONE as DATETIME and DATETIMEOFFSET.
CREATE TABLE patient (
  patient_id TEXT, nhs_number TEXT, trace TEXT, surname TEXT, first_name TEXT, born TEXT, sex TEXT, identity TEXT, ethnicity TEXT, language TEXT,
  marital TEXT, school TEXT, died TEXT
);
CREATE TABLE patient_address (patient_id TEXT, since DATE, postcode TEXT);
CREATE TABLE patient_surgery (patient_id TEXT, surgery TEXT, joined DATE, departed TEXT);
CREATE TABLE lodging (patient_id TEXT, kind TEXT, settled TEXT, noted DATE);
CREATE TABLE occupation (patient_id TEXT, status TEXT, noted TEXT, hours TEXT, since TEXT, until TEXT);
CREATE TABLE pathway (
  pathway_id TEXT, patient_id TEXT, commissioner TEXT, unit_id TEXT, received_utc TIMESTAMP WITH TIME ZONE, referred_by TEXT, referrer TEXT,
  urgency TEXT, reason TEXT, ended TEXT, ended_because TEXT, declined TEXT, declined_because TEXT, removed TEXT
);
CREATE TABLE pathway_unit (pathway_id TEXT, unit_id TEXT, joined DATE, departed TEXT, departed_because TEXT);
-- Contacts are in two tables: those in person, and all the others with their channel.
CREATE TABLE visit (
  event_id TEXT, pathway_id TEXT, unit_id TEXT, started_utc TIMESTAMP WITH TIME ZONE, minutes TEXT, visit_kind TEXT, place TEXT,
  result TEXT, comment TEXT, removed TEXT
);
CREATE TABLE remote_event (
  event_id TEXT, pathway_id TEXT, unit_id TEXT, started_utc TIMESTAMP WITH TIME ZONE, minutes TEXT, visit_kind TEXT, place TEXT,
  result TEXT, comment TEXT, removed TEXT, channel TEXT
);
CREATE TABLE desk_work (pathway_id TEXT, unit_id TEXT, clinician_id TEXT, done_utc TIMESTAMP WITH TIME ZONE, minutes TEXT, snomed TEXT);
CREATE TABLE event_item (
  part_no TEXT, contact_no TEXT, minutes TEXT, snomed TEXT, finding_scheme TEXT, finding TEXT, observation TEXT, observed_value TEXT,
  observed_unit TEXT, staff_no TEXT
);
CREATE TABLE stay (spell_no TEXT, referral_no TEXT, admitted_on DATE, method TEXT, discharged_on DATE);
CREATE TABLE stay_ward (stay_no TEXT, ward TEXT, spell_no TEXT, from_date DATE, to_date DATE);
CREATE TABLE clinician (staff_no TEXT, staff_group TEXT);
CREATE TABLE unit (team_no TEXT, team_type TEXT, age_group TEXT, opened_on DATE);
