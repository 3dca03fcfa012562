-- Made up. A staging schema whose tables and columns are already called like the standard's; every load of a month is kept.
-- Dates come with a midnight, times on a day of 1900, and CHAR columns are filled up with blanks, as some databases give them back.
CREATE TABLE stg_load (load_id INTEGER, period_start DATE, load_state TEXT);
CREATE TABLE stg_mhs001mpi (load_id INTEGER, LocalPatientID TEXT, OrgIDEduEstab TEXT, NHSNumber TEXT, NHSNumberStatus TEXT, PersonBirthDate
  TEXT, Postcode TEXT, Gender TEXT, GenderIDCode TEXT, MaritalStatus CHAR(2), EthnicCategory CHAR(2), LanguageCodePreferred TEXT,
  PersDeathDate TEXT);
CREATE TABLE stg_mhs002gp (load_id INTEGER, LocalPatientID TEXT, GMPReg TEXT, StartDateGMPRegistration TEXT, EndDateGMPRegistration TEXT);
CREATE TABLE stg_mhs003accommstatus (load_id INTEGER, LocalPatientID TEXT, AccommodationType TEXT, SettledAccommodationInd TEXT,
  AccommodationTypeDate TEXT);
CREATE TABLE stg_mhs004empstatus (load_id INTEGER, LocalPatientID TEXT, EmployStatus TEXT, EmployStatusRecDate TEXT, WeekHoursWorked TEXT,
  EmployStatusStartDate TEXT, EmployStatusEndDate TEXT);
CREATE TABLE stg_mhs101referral (load_id INTEGER, ServiceRequestID TEXT, LocalPatientID TEXT, OrgIDComm TEXT, CareProfTeamLocalID TEXT,
  ReferralRequestReceivedDate TEXT, ReferralRequestReceivedTime TEXT, SourceOfReferralMH TEXT, OrgIDReferringOrg TEXT, ClinRespPriorityType
  TEXT, PrimReasonReferralMH TEXT, ServDischDate TEXT, ReferClosReason TEXT, ReferRejectionDate TEXT, ReferRejectReason TEXT);
CREATE TABLE stg_mhs102otherservicetype (load_id INTEGER, ServiceRequestID TEXT, OtherCareProfTeamLocalID TEXT, ReferClosureDate TEXT,
  ReferClosReason TEXT);
CREATE TABLE stg_mhs201carecontact (load_id INTEGER, CareContactID TEXT, ServiceRequestID TEXT, OtherCareProfTeamLocalID TEXT, CareContDate
  TEXT, CareContTime TEXT, ClinContDurOfCareCont TEXT, ConsType TEXT, ConsMechanismMH TEXT, ActLocTypeCode TEXT, AttendStatus TEXT);
CREATE TABLE stg_mhs202careactivity (load_id INTEGER, CareActID TEXT, CareContactID TEXT, ClinContactDurOfCareAct TEXT, Procedure TEXT,
  FindSchemeInUse TEXT, Finding TEXT, Observation TEXT, ObsValue TEXT, UnitofMeasurement_UCUM TEXT);
CREATE TABLE stg_mhs204indirectactivity (load_id INTEGER, ServiceRequestID TEXT, OtherCareProfTeamLocalID TEXT, CareProfLocalID TEXT,
  IndirectActDate TEXT, IndirectActTime TEXT, DurationIndirectAct TEXT, IndActProcedure TEXT);
CREATE TABLE stg_mhs206staffactivity (load_id INTEGER, CareActID TEXT, CareProfLocalID TEXT);
CREATE TABLE stg_mhs501hospprovspell (load_id INTEGER, HospProvSpellID TEXT, ServiceRequestID TEXT, StartDateHospProvSpell TEXT,
  MethAdmMHHospProvSpell TEXT, DischDateHospProvSpell TEXT);
CREATE TABLE stg_mhs502wardstay (load_id INTEGER, WardStayID TEXT, WardCode TEXT, HospProvSpellID TEXT, StartDateWardStay TEXT,
  EndDateWardStay TEXT);
CREATE TABLE stg_mhs901staffdetails (load_id INTEGER, CareProfLocalID TEXT, CareProfStaffGpMH TEXT);
CREATE TABLE stg_mhs902serviceteamdetails (load_id INTEGER, CareProfTeamLocalID TEXT, ServTeamTypeMH TEXT, ServTeamIntAgeGroup TEXT);
