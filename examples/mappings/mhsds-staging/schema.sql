-- Made up. A staging schema whose tables and columns are already called like the standard's; every load of a month is kept.
-- Dates have a midnight, times a day of 1900, and CHAR columns are filled up with blanks, as some databases give them back.
-- MariaDB and SQL Server know TIMESTAMP as DATETIME and DATETIME2. Procedure is a word of their SQL, so it stands in quotes.
-- The start of a job is typed by hand, so it is text.
CREATE TABLE stg_load (load_id INTEGER, period_start DATE, load_state TEXT);
CREATE TABLE stg_mhs001mpi (load_id INTEGER, LocalPatientID TEXT, OrgIDEduEstab TEXT, NHSNumber TEXT, NHSNumberStatus TEXT, PersonBirthDate
  TIMESTAMP, Postcode TEXT, Gender TEXT, GenderIDCode TEXT, MaritalStatus CHAR(2), EthnicCategory CHAR(2), LanguageCodePreferred TEXT,
  PersDeathDate TIMESTAMP);
CREATE TABLE stg_mhs002gp (load_id INTEGER, LocalPatientID TEXT, GMPReg TEXT, StartDateGMPRegistration TIMESTAMP, EndDateGMPRegistration TIMESTAMP);
CREATE TABLE stg_mhs003accommstatus (load_id INTEGER, LocalPatientID TEXT, AccommodationType TEXT, SettledAccommodationInd TEXT,
  AccommodationTypeDate TIMESTAMP);
CREATE TABLE stg_mhs004empstatus (load_id INTEGER, LocalPatientID TEXT, EmployStatus TEXT, EmployStatusRecDate TIMESTAMP, WeekHoursWorked TEXT,
  EmployStatusStartDate TEXT, EmployStatusEndDate TIMESTAMP);
CREATE TABLE stg_mhs101referral (load_id INTEGER, ServiceRequestID TEXT, LocalPatientID TEXT, OrgIDComm TEXT, CareProfTeamLocalID TEXT,
  ReferralRequestReceivedDate TIMESTAMP, ReferralRequestReceivedTime TIMESTAMP, SourceOfReferralMH TEXT, OrgIDReferringOrg TEXT, ClinRespPriorityType
  TEXT, PrimReasonReferralMH TEXT, ServDischDate TIMESTAMP, ReferClosReason TEXT, ReferRejectionDate TIMESTAMP, ReferRejectReason TEXT);
CREATE TABLE stg_mhs102otherservicetype (load_id INTEGER, ServiceRequestID TEXT, OtherCareProfTeamLocalID TEXT, ReferClosureDate TIMESTAMP,
  ReferClosReason TEXT);
CREATE TABLE stg_mhs201carecontact (load_id INTEGER, CareContactID TEXT, ServiceRequestID TEXT, OtherCareProfTeamLocalID TEXT, CareContDate
  TIMESTAMP, CareContTime TIMESTAMP, ClinContDurOfCareCont TEXT, ConsType TEXT, ConsMechanismMH TEXT, ActLocTypeCode TEXT, AttendStatus TEXT);
CREATE TABLE stg_mhs202careactivity (load_id INTEGER, CareActID TEXT, CareContactID TEXT, ClinContactDurOfCareAct TEXT, "Procedure" TEXT,
  FindSchemeInUse TEXT, Finding TEXT, Observation TEXT, ObsValue TEXT, UnitofMeasurement_UCUM TEXT);
CREATE TABLE stg_mhs204indirectactivity (load_id INTEGER, ServiceRequestID TEXT, OtherCareProfTeamLocalID TEXT, CareProfLocalID TEXT,
  IndirectActDate TIMESTAMP, IndirectActTime TIMESTAMP, DurationIndirectAct TEXT, IndActProcedure TEXT);
CREATE TABLE stg_mhs206staffactivity (load_id INTEGER, CareActID TEXT, CareProfLocalID TEXT);
CREATE TABLE stg_mhs501hospprovspell (load_id INTEGER, HospProvSpellID TEXT, ServiceRequestID TEXT, StartDateHospProvSpell TIMESTAMP,
  MethAdmMHHospProvSpell TEXT, DischDateHospProvSpell TIMESTAMP);
CREATE TABLE stg_mhs502wardstay (load_id INTEGER, WardStayID TEXT, WardCode TEXT, HospProvSpellID TEXT, StartDateWardStay TIMESTAMP,
  EndDateWardStay TIMESTAMP);
CREATE TABLE stg_mhs901staffdetails (load_id INTEGER, CareProfLocalID TEXT, CareProfStaffGpMH TEXT);
CREATE TABLE stg_mhs902serviceteamdetails (load_id INTEGER, CareProfTeamLocalID TEXT, ServTeamTypeMH TEXT, ServTeamIntAgeGroup TEXT);
