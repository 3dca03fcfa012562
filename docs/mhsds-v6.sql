-- MHSDS version 6.0: the tables of the intermediate database, in its order. Generated from the standard.

-- MHS000 Header
CREATE TABLE MHS000Header (
    "DatSetVer" VARCHAR(3) NOT NULL,
    "OrgIDProvider" VARCHAR(6) NOT NULL,
    "OrgIDSubmit" VARCHAR(6) NOT NULL,
    "PrimSystemInUse" VARCHAR(20) NOT NULL,
    "ReportingPeriodStartDate" DATE NOT NULL,
    "ReportingPeriodEndDate" DATE NOT NULL,
    "DateTimeDatSetCreate" VARCHAR(25) NOT NULL
);

-- MHS001 Master Patient Index
CREATE TABLE MHS001MPI (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "OrgIDLocalPatientID" VARCHAR(5) NOT NULL,
    "OrgIDEduEstab" VARCHAR(8),
    "NHSNumber" DECIMAL(10, 0),
    "NHSNumberStatus" VARCHAR(2),
    "PersonBirthDate" DATE,
    "Postcode" VARCHAR(8),
    "GenderIDCode" VARCHAR(1),
    "GenderSameAtBirth" VARCHAR(1),
    "Gender" VARCHAR(1),
    "MaritalStatus" VARCHAR(1),
    "EthnicCategory" VARCHAR(2),
    "EthnicCategory2021" VARCHAR,
    "LanguageCodePreferred" VARCHAR(2),
    "PersDeathDate" DATE,
    PRIMARY KEY ("LocalPatientID")
);

-- MHS002 GP Practice Registration
CREATE TABLE MHS002GP (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "GMPReg" VARCHAR(8) NOT NULL,
    "StartDateGMPRegistration" DATE,
    "EndDateGMPRegistration" DATE
);

-- MHS003 Accommodation Status
CREATE TABLE MHS003AccommStatus (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "AccommodationType" VARCHAR(2) NOT NULL,
    "SettledAccommodationInd" VARCHAR(1),
    "AccommodationTypeDate" DATE,
    "SCHPlacementType" VARCHAR(1),
    "AccommodationTypeStartDate" DATE,
    "AccommodationTypeEndDate" DATE
);

-- MHS004 Employment Status
CREATE TABLE MHS004EmpStatus (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "EmployStatus" VARCHAR(2) NOT NULL,
    "EmployStatusStartDate" DATE,
    "EmployStatusEndDate" DATE,
    "EmployStatusRecDate" DATE,
    "PatPrimEmpContTypeMH" VARCHAR(2),
    "WeekHoursWorked" VARCHAR(2)
);

-- MHS005 Patient Indicators
CREATE TABLE MHS005PatInd (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "ConstSuperReqDueToDis" VARCHAR(1),
    "ParentalResp" VARCHAR(1),
    "YoungCarer" VARCHAR(1),
    "LACStatus" VARCHAR(1),
    "LACLegalStatus" VARCHAR(2),
    "EducationalAssessOutcome" VARCHAR(2),
    "CPP" VARCHAR(1),
    "ExBAFIndicator" VARCHAR(2),
    "OffenceHistory" VARCHAR(1),
    "ProPsychDate" DATE,
    "EmerPsychDate" DATE,
    "ManPsychDate" DATE,
    "PsychPrescDate" DATE,
    "PsychTreatDate" DATE,
    "ReasonableAdjustmentInd" VARCHAR(1),
    "IMCARequired" VARCHAR(1),
    "IMHARequired" VARCHAR(1),
    "IMCAAssigned" VARCHAR(1),
    "IMHAAssigned" VARCHAR(1),
    "LDStatus" VARCHAR(1),
    "AutismStatus" VARCHAR(1)
);

-- MHS006 Mental Health Care Coordinator
CREATE TABLE MHS006MHCareCoord (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "StartDateAssCareCoord" DATE NOT NULL,
    "CareProfLocalID" VARCHAR(20),
    "EndDateAssCareCoord" DATE,
    "CareProfServOrTeamTypeAssoc" VARCHAR(3)
);

-- MHS007 Disability Type
CREATE TABLE MHS007DisabilityType (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "DisabCode" VARCHAR(2) NOT NULL,
    "DisabImpacPercep" VARCHAR(2)
);

-- MHS008 Care Plan Type
CREATE TABLE MHS008CarePlanType (
    "CarePlanID" VARCHAR(20) NOT NULL,
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "CarePlanTypeMH" VARCHAR(2) NOT NULL,
    "CarePlanCreatDate" DATE NOT NULL,
    "CarePlanCreationTime" TIME,
    "CarePlanLastUpdateDate" DATE,
    "CarePlanLastUpdateTime" TIME,
    "CarePlanImplementDate" DATE,
    PRIMARY KEY ("CarePlanID")
);

-- MHS009 Care Plan Agreement
CREATE TABLE MHS009CarePlanAgreement (
    "CarePlanID" VARCHAR(20) NOT NULL,
    "FamilyCarePlanIndicator" VARCHAR(1),
    "NoFamilyCarePlanReason" VARCHAR(2),
    "CarePlanContentAgreedBy" VARCHAR(2) NOT NULL,
    "CarePlanContentAgreedDate" DATE,
    "CarePlanContentAgreedTime" TIME
);

-- MHS010 Assistive Technology To Support Disability Type
CREATE TABLE MHS010AssTechToSupportDisTyp (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "AssistiveTechnologyFinding" VARCHAR(18) NOT NULL,
    "AssistiveTechnologyPrescTimestamp" VARCHAR(25)
);

-- MHS011 Social and Personal Circumstances
CREATE TABLE MHS011SocPerCircumstances (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "SocPerCircumstance" VARCHAR(18) NOT NULL,
    "SocPerCircumstanceRecTimestamp" VARCHAR(25)
);

-- MHS012 Overseas Visitor Charging Category
CREATE TABLE MHS012OverseasVisitorChargCat (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "OvsVisChCat" VARCHAR(1) NOT NULL,
    "OvsVisChCatAppDate" DATE,
    "OvsVisChCatEndDate" DATE
);

-- MHS014 eMED3 Fit Note
CREATE TABLE MHS014eMED3FitNote (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "FitNoteAssessmentDate" DATE,
    "FitNoteCond" DECIMAL(18, 0),
    "FitNoteDiagnosis" VARCHAR(6),
    "FitNoteStartDate" DATE,
    "FitNoteEndDate" DATE,
    "FitNoteDuration" VARCHAR(3),
    "FitNoteRecordedDate" DATE,
    "FitNoteFollowUpIndicator" VARCHAR(1),
    "FitNoteIssuer" VARCHAR(2)
);

-- MHS101 Service or Team Referral
CREATE TABLE MHS101Referral (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "OrgIDComm" VARCHAR(5) NOT NULL,
    "CareProfTeamLocalID" VARCHAR(20),
    "ReferralRequestReceivedDate" DATE NOT NULL,
    "ReferralRequestReceivedTime" TIME,
    "NHSServAgreeLineID" VARCHAR(20),
    "SpecialisedMHServiceCode" VARCHAR(50),
    "SourceOfReferralMH" VARCHAR(2),
    "OrgIDReferringOrg" VARCHAR(8),
    "ReferringCareProfessionalType" VARCHAR(3),
    "ClinRespPriorityType" VARCHAR(1),
    "PrimReasonReferralMH" VARCHAR(2),
    "ReasonOAT" VARCHAR(2),
    "DecisionToTreatDate" DATE,
    "DecisionToTreatTime" TIME,
    "DischPlanCreationDate" DATE,
    "DischPlanCreationTime" TIME,
    "DischPlanLastUpdatedDate" DATE,
    "DischPlanLastUpdatedTime" TIME,
    "ServDischDate" DATE,
    "ServDischTime" TIME,
    "ReferRejectionDate" DATE,
    "ReferRejectionTime" TIME,
    "ReferRejectReason" VARCHAR(2),
    "ReferClosReason" VARCHAR(2),
    PRIMARY KEY ("ServiceRequestID")
);

-- MHS102 Other Service or Team Type
CREATE TABLE MHS102OtherServiceType (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "OtherCareProfTeamLocalID" VARCHAR(20) NOT NULL,
    "ReferClosureDate" DATE,
    "ReferClosureTime" TIME,
    "ReferRejectionDate" DATE,
    "ReferRejectionTime" TIME,
    "ReferRejectReason" VARCHAR(2),
    "ReferClosReason" VARCHAR(2)
);

-- MHS103 Other Reason for Referral
CREATE TABLE MHS103OtherReasonReferral (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "OtherReasonReferMH" VARCHAR(2) NOT NULL
);

-- MHS104 Referral to Treatment (RTT)
CREATE TABLE MHS104RTT (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "PatPathID" VARCHAR(20),
    "WaitTimeMeasureType" VARCHAR(2) NOT NULL,
    "OrgIDPatPathIDIssuer" VARCHAR(5),
    "ReferToTreatPeriodStartDate" DATE,
    "ReferToTreatPeriodEndDate" DATE,
    "ReferToTreatPeriodStatus" VARCHAR(2)
);

-- MHS105 Onward Referral
CREATE TABLE MHS105OnwardReferral (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "DecisionToReferDate" DATE,
    "DecisionToReferTime" TIME,
    "OnwardReferDate" DATE NOT NULL,
    "OnwardReferTime" TIME,
    "OnwardReferReason" VARCHAR(2),
    "OATReason" VARCHAR(2),
    "OrgIDReceiving" VARCHAR(8),
    "ReferralProc" VARCHAR(56)
);

-- MHS106 Discharge Plan Agreement
CREATE TABLE MHS106DischargePlanAgreement (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "DischPlanContentAgreedBy" VARCHAR(2) NOT NULL,
    "DischPlanContentAgreedDate" DATE,
    "DischPlanContentAgreedTime" TIME
);

-- MHS201 Care Contact
CREATE TABLE MHS201CareContact (
    "CareContactID" VARCHAR(20) NOT NULL,
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "CareContDate" DATE NOT NULL,
    "CareContTime" TIME,
    "OtherCareProfTeamLocalID" VARCHAR(20),
    "OrgIDComm" VARCHAR(5),
    "AdminCatCode" VARCHAR(2),
    "SpecialisedMHServiceCode" VARCHAR(50),
    "ClinContDurOfCareCont" DECIMAL(4, 0),
    "ConsType" VARCHAR(2),
    "CareContSubj" VARCHAR(2),
    "ConsMechanismMH" VARCHAR(2),
    "ActLocTypeCode" VARCHAR(3),
    "PlaceOfSafetyInd" VARCHAR(1),
    "SiteIDOfTreat" VARCHAR(9),
    "LanguageCodeTreat" VARCHAR(2),
    "InterpreterPresentInd" VARCHAR(1),
    "ComPeriMHPartAssessOfferInd" VARCHAR(1),
    "PlannedCareContIndicator" VARCHAR(1),
    "CareContPatientTherMode" VARCHAR(1),
    "AttendStatus" VARCHAR(1),
    "EarliestReasonOfferDate" DATE,
    "EarliestClinAppDate" DATE,
    "CareContCancelDate" DATE,
    "CareContCancelReas" VARCHAR(2),
    "ReasonableAdjustmentMade" VARCHAR(1),
    "ReasonPatientNoIMCA" VARCHAR(2),
    "ReasonPatientNoIMHA" VARCHAR(2),
    PRIMARY KEY ("CareContactID")
);

-- MHS202 Care Activity
CREATE TABLE MHS202CareActivity (
    "CareActID" VARCHAR(20) NOT NULL,
    "CareContactID" VARCHAR(20) NOT NULL,
    "ClinContactDurOfCareAct" DECIMAL(4, 0),
    "Procedure" VARCHAR(56),
    "FindSchemeInUse" VARCHAR(2),
    "Finding" VARCHAR(18),
    "Observation" DECIMAL(18, 0),
    "ObsValue" VARCHAR(10),
    "UnitofMeasurement_UCUM" VARCHAR(20),
    PRIMARY KEY ("CareActID")
);

-- MHS203 Other in Attendance
CREATE TABLE MHS203OtherAttend (
    "CareContactID" VARCHAR(20) NOT NULL,
    "OtherPersonInAttend" VARCHAR(2) NOT NULL
);

-- MHS204 Indirect Activity
CREATE TABLE MHS204IndirectActivity (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "IndirectActDate" DATE NOT NULL,
    "OtherCareProfTeamLocalID" VARCHAR(20),
    "IndirectActTime" TIME,
    "IndActPersCons" VARCHAR(2),
    "DurationIndirectAct" DECIMAL(4, 0),
    "OrgIDComm" VARCHAR(5),
    "CareProfLocalID" VARCHAR(20),
    "IndActProcedure" VARCHAR(56),
    "FindSchemeInUse" VARCHAR(2),
    "Finding" VARCHAR(18)
);

-- MHS205 Patient Self-Directed Digital Intervention
CREATE TABLE MHS205PatientSDDI (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "OrgIDPSDDIProvider" VARCHAR(5) NOT NULL,
    "StartDatePSDDI" DATE NOT NULL,
    "EndDatePSDDI" DATE,
    "PSDDIMech" VARCHAR(2),
    "PSDDIProcedure" VARCHAR(56)
);

-- MHS206 Staff Activity
CREATE TABLE MHS206StaffActivity (
    "CareActID" VARCHAR(20) NOT NULL,
    "CareProfLocalID" VARCHAR(20) NOT NULL
);

-- MHS301 Group Session
CREATE TABLE MHS301GroupSession (
    "GroupSessID" VARCHAR(20) NOT NULL,
    "GroupSessDate" DATE NOT NULL,
    "OrgIDComm" VARCHAR(5) NOT NULL,
    "ClinContDurOfGroupSess" DECIMAL(4, 0),
    "GroupSessType" VARCHAR(2),
    "NumberOfGroupSessParticip" DECIMAL(3, 0),
    "ActLocTypeCode" VARCHAR(3),
    "SiteIDOfTreat" VARCHAR(9),
    "CareProfLocalID" VARCHAR(20),
    "ServTeamTypeRefToMH" VARCHAR(3),
    "NHSServAgreeLineID" VARCHAR(20)
);

-- MHS302 Mental Health Drop In Contact
CREATE TABLE MHS302MHDropInContact (
    "MHDropInContactID" VARCHAR(20) NOT NULL,
    "CareContactDateMHDropInContact" DATE NOT NULL,
    "OrgIDComm" VARCHAR(5) NOT NULL,
    "MHDropInContactServiceType" VARCHAR(3),
    "StartTimeDropInContact" TIME,
    "EndTimeDropInContact" TIME,
    "LocalPatientID" VARCHAR(20),
    "NHSNumber" DECIMAL(10, 0),
    "PersonBirthDate" DATE,
    "GenderIDCode" VARCHAR(1),
    "GenderSameAtBirth" VARCHAR(1),
    "EthnicCategory" VARCHAR(2),
    "EthnicCategory2021" VARCHAR,
    "ConsMechanismMH" VARCHAR(2),
    "CareProfLocalID" VARCHAR(20),
    "MHDropInContactOutcome" VARCHAR(2),
    "OrgIDReceiving" VARCHAR(8)
);

-- MHS401 Mental Health Act Legal Status Classification Assignment Period
CREATE TABLE MHS401MHActPeriod (
    "MHActLegalStatusClassPeriodID" VARCHAR(20) NOT NULL,
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "StartDateMHActLegalStatusClass" DATE NOT NULL,
    "StartTimeMHActLegalStatusClass" TIME NOT NULL,
    "LegalStatusClassPeriodStartReason" VARCHAR(2),
    "ExpiryDateMHActLegalStatusClass" DATE,
    "ExpiryTimeMHActLegalStatusClass" TIME,
    "EndDateMHActLegalStatusClass" DATE,
    "EndTimeMHActLegalStatusClass" TIME,
    "LegalStatusClassPeriodEndReason" VARCHAR(2),
    "LegalStatusCode" VARCHAR(2),
    "MentalCat" VARCHAR(1),
    PRIMARY KEY ("MHActLegalStatusClassPeriodID")
);

-- MHS402 Mental Health Responsible Clinician Assignment Period
CREATE TABLE MHS402RespClinicianAssignPeriod (
    "MHActLegalStatusClassPeriodID" VARCHAR(20) NOT NULL,
    "StartDateRespClinAssign" DATE NOT NULL,
    "CareProfLocalID" VARCHAR(20) NOT NULL,
    "EndDateRespClinAssign" DATE
);

-- MHS403 Conditional Discharge
CREATE TABLE MHS403ConditionalDischarge (
    "MHActLegalStatusClassPeriodID" VARCHAR(20) NOT NULL,
    "StartDateMHCondDisch" DATE NOT NULL,
    "EndDateMHCondDisch" DATE,
    "CondDischEndReason" VARCHAR(2),
    "AbsDischResp" VARCHAR(2)
);

-- MHS404 Community Treatment Order
CREATE TABLE MHS404CommTreatOrder (
    "MHActLegalStatusClassPeriodID" VARCHAR(20) NOT NULL,
    "StartDateCommTreatOrd" DATE NOT NULL,
    "ExpiryDateCommTreatOrd" DATE,
    "EndDateCommTreatOrd" DATE,
    "CommTreatOrdEndReason" VARCHAR(2)
);

-- MHS405 Community Treatment Order Recall
CREATE TABLE MHS405CommTreatOrderRecall (
    "MHActLegalStatusClassPeriodID" VARCHAR(20) NOT NULL,
    "StartDateCommTreatOrdRecall" DATE NOT NULL,
    "StartTimeCommTreatOrdRecall" TIME NOT NULL,
    "EndDateCommTreatOrdRecall" DATE,
    "EndTimeCommTreatOrdRecall" TIME
);

-- MHS501 Hospital Provider Spell
CREATE TABLE MHS501HospProvSpell (
    "HospProvSpellID" VARCHAR(20) NOT NULL,
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "StartDateHospProvSpell" DATE NOT NULL,
    "StartTimeHospProvSpell" TIME,
    "DecidedToAdmitDate" DATE,
    "DecidedToAdmitTime" TIME,
    "SourceAdmMHHospProvSpell" VARCHAR(2),
    "MethAdmMHHospProvSpell" VARCHAR(2),
    "PostcodeMainVisitor" VARCHAR(8),
    "EstimatedDischDateHospProvSpell" DATE,
    "PlannedDischDateHospProvSpell" DATE,
    "PlannedDestDisch" VARCHAR(2),
    "DischDateHospProvSpell" DATE,
    "DischTimeHospProvSpell" TIME,
    "MethOfDischMHHospProvSpell" VARCHAR(1),
    "DestOfDischHospProvSpell" VARCHAR(2),
    "PostcodeDischDestHospProvSpell" VARCHAR(8),
    PRIMARY KEY ("HospProvSpellID")
);

-- MHS502 Ward Stay
CREATE TABLE MHS502WardStay (
    "WardStayID" VARCHAR(20) NOT NULL,
    "WardCode" VARCHAR(12) NOT NULL,
    "HospProvSpellID" VARCHAR(20) NOT NULL,
    "StartDateWardStay" DATE NOT NULL,
    "StartTimeWardStay" TIME,
    "EndDateMHTrialLeave" DATE,
    "EndDateWardStay" DATE,
    "EndTimeWardStay" TIME,
    "MHAdmittedPatientClass" VARCHAR(3),
    "SpecialisedMHServiceCode" VARCHAR(50),
    PRIMARY KEY ("WardStayID")
);

-- MHS503 Assigned Care Professional
CREATE TABLE MHS503AssignedCareProf (
    "HospProvSpellID" VARCHAR(20) NOT NULL,
    "CareProfLocalID" VARCHAR(20) NOT NULL,
    "StartDateAssCareProf" DATE NOT NULL,
    "EndDateAssCareProf" DATE,
    "TreatFuncCodeMH" VARCHAR(3)
);

-- MHS505 Restrictive Intervention Incident
CREATE TABLE MHS505RestrictiveInterventInc (
    "RestrictiveIntIncID" VARCHAR(20) NOT NULL,
    "HospProvSpellID" VARCHAR(20) NOT NULL,
    "StartDateRestrictiveIntInc" DATE NOT NULL,
    "StartTimeRestrictiveIntInc" TIME,
    "EndDateRestrictiveIntInc" DATE,
    "EndTimeRestrictiveIntInc" TIME,
    "RestrictiveIntReason" DECIMAL(2, 0),
    "RestrictiveIntPIReviewHeldPat" VARCHAR(1),
    "RestrictiveIntPIReviewNotHeldReasPat" VARCHAR(1),
    "RestrictiveIntPIReviewHeldCarePers" VARCHAR(1),
    PRIMARY KEY ("RestrictiveIntIncID")
);

-- MHS506 Assault
CREATE TABLE MHS506Assault (
    "WardStayID" VARCHAR(20) NOT NULL,
    "DateAssault" DATE NOT NULL
);

-- MHS507 Self-Harm
CREATE TABLE MHS507SelfHarm (
    "WardStayID" VARCHAR(20) NOT NULL,
    "DateSelfHarm" DATE NOT NULL
);

-- MHS509 Home Leave
CREATE TABLE MHS509HomeLeave (
    "WardStayID" VARCHAR(20) NOT NULL,
    "StartDateHomeLeave" DATE NOT NULL,
    "StartTimeHomeLeave" TIME,
    "EndDateHomeLeave" DATE,
    "EndTimeHomeLeave" TIME
);

-- MHS510 Mental Health Leave of Absence
CREATE TABLE MHS510LeaveOfAbsence (
    "WardStayID" VARCHAR(20) NOT NULL,
    "StartDateMHLeaveAbs" DATE NOT NULL,
    "StartTimeMHLeaveAbs" TIME,
    "EndDateMHLeaveAbs" DATE,
    "EndTimeMHLeaveAbs" TIME,
    "MHLeaveAbsEndReason" VARCHAR(2),
    "EscortedLeaveIndicator" VARCHAR(1)
);

-- MHS511 Mental Health Absence Without Leave
CREATE TABLE MHS511AbsenceWithoutLeave (
    "WardStayID" VARCHAR(20) NOT NULL,
    "StartDateMHAbsWOLeave" DATE NOT NULL,
    "StartTimeMHAbsWOLeave" TIME,
    "EndDateMHAbsWOLeave" DATE,
    "EndTimeMHAbsWOLeave" TIME,
    "MHAbsWOLeaveEndReason" VARCHAR(2)
);

-- MHS512 Hospital Provider Spell Commissioner Assignment Period
CREATE TABLE MHS512HospSpellCommAssPer (
    "HospProvSpellID" VARCHAR(20) NOT NULL,
    "OrgIDComm" VARCHAR(5) NOT NULL,
    "StartDateOrgCodeComm" DATE NOT NULL,
    "EndDateOrgCodeComm" DATE
);

-- MHS513 Substance Misuse
CREATE TABLE MHS513SubstanceMisuse (
    "WardStayID" VARCHAR(20) NOT NULL,
    "SubstanceMisuse" DATE NOT NULL
);

-- MHS514 Mental Health Trial Leave
CREATE TABLE MHS514TrialLeave (
    "WardStayID" VARCHAR(20) NOT NULL,
    "StartDateMHTrialLeave" DATE NOT NULL,
    "StartTimeMHTrialLeave" TIME,
    "EndDateMHTrialLeave" DATE,
    "EndTimeMHTrialLeave" TIME
);

-- MHS515 Restrictive Intervention Type
CREATE TABLE MHS515RestrictiveInterventType (
    "RestrictiveIntIncID" VARCHAR(20) NOT NULL,
    "RestrictiveIntTypeID" VARCHAR(20) NOT NULL,
    "RestrictiveIntType" VARCHAR(2) NOT NULL,
    "StartDateRestrictiveIntType" DATE NOT NULL,
    "StartTimeRestrictiveIntType" TIME,
    "EndDateRestrictiveIntType" DATE,
    "EndTimeRestrictiveIntType" TIME,
    "RestraintInjuryPatient" VARCHAR(1),
    "RestraintInjuryCarePers" VARCHAR(1),
    "RestraintInjuryOtherPers" VARCHAR(1)
);

-- MHS516 Police Assistance Request
CREATE TABLE MHS516PoliceAssistanceRequest (
    "WardStayID" VARCHAR(20) NOT NULL,
    "PoliceAssistReqDate" DATE NOT NULL,
    "PoliceAssistReqTime" TIME,
    "PoliceAssistArrDate" DATE,
    "PoliceAssistArrTime" TIME,
    "PoliceRestraintForceUsedInd" VARCHAR(1)
);

-- MHS517 Specialised Mental Health Exceptional Package of Care (EPC)
CREATE TABLE MHS517SMHExceptionalPackOfCare (
    "HospProvSpellID" VARCHAR(20) NOT NULL,
    "SMHEPCCharge" VARCHAR NOT NULL,
    "OrgIDComm" VARCHAR(5),
    "StartDateSMHEPC" DATE NOT NULL,
    "EndDateSMHEPC" DATE
);

-- MHS518 Clinically Ready for Discharge
CREATE TABLE MHS518ClinReadyforDischarge (
    "HospProvSpellID" VARCHAR(20) NOT NULL,
    "StartDateClinReadyforDisch" DATE NOT NULL,
    "EndDateClinReadyforDisch" DATE,
    "ClinReadyforDischDelayReason" VARCHAR(2),
    "AttribToIndic" VARCHAR(2),
    "OrgIDRespLAClinReadyforDisch" VARCHAR(5)
);

-- MHS601 Medical History (Previous Diagnosis)
CREATE TABLE MHS601MedHistPrevDiag (
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "DiagSchemeInUse" VARCHAR(2) NOT NULL,
    "PrevDiag" VARCHAR(18) NOT NULL,
    "CodedDiagTimestamp" VARCHAR(25)
);

-- MHS604 Primary Diagnosis
CREATE TABLE MHS604PrimDiag (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "DiagSchemeInUse" VARCHAR(2) NOT NULL,
    "PrimDiag" VARCHAR(18) NOT NULL,
    "CodedDiagTimestamp" VARCHAR(25)
);

-- MHS605 Secondary Diagnosis
CREATE TABLE MHS605SecDiag (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "DiagSchemeInUse" VARCHAR(2) NOT NULL,
    "SecDiag" VARCHAR(18) NOT NULL,
    "CodedDiagTimestamp" VARCHAR(25)
);

-- MHS606 Coded Scored Assessment (Referral)
CREATE TABLE MHS606CodedScoreAssessmentRefer (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "CodedAssToolType" VARCHAR(18) NOT NULL,
    "PersScore" VARCHAR(5) NOT NULL,
    "AssToolCompTimestamp" VARCHAR(25) NOT NULL,
    "CareProfLocalID" VARCHAR(20)
);

-- MHS607 Coded Scored Assessment (Care Activity)
CREATE TABLE MHS607CodedScoreAssessmentAct (
    "CareActID" VARCHAR(20) NOT NULL,
    "CodedAssToolType" VARCHAR(18) NOT NULL,
    "PersScore" VARCHAR(5) NOT NULL
);

-- MHS608 Anonymous Self-Assessment
CREATE TABLE MHS608AnonSelfAssess (
    "AssToolCompTimestamp" VARCHAR(25) NOT NULL,
    "CodedAssToolType" VARCHAR(18) NOT NULL,
    "PersScore" VARCHAR(5) NOT NULL,
    "ActLocTypeCode" VARCHAR(3),
    "OrgIDComm" VARCHAR(5)
);

-- MHS609 Presenting Complaint
CREATE TABLE MHS609PresComp (
    "ServiceRequestID" VARCHAR(20) NOT NULL,
    "FindSchemeInUse" VARCHAR(2) NOT NULL,
    "PresComp" DECIMAL(18, 0) NOT NULL,
    "PresCompCodSig" VARCHAR(1),
    "PresCompDate" DATE
);

-- MHS701 Care Programme Approach (CPA) Care Episode
CREATE TABLE MHS701CPACareEpisode (
    "CPAEpisodeID" VARCHAR(20) NOT NULL,
    "LocalPatientID" VARCHAR(20) NOT NULL,
    "StartDateCPA" DATE NOT NULL,
    "EndDateCPA" DATE,
    PRIMARY KEY ("CPAEpisodeID")
);

-- MHS702 Care Programme Approach (CPA) Review
CREATE TABLE MHS702CPAReview (
    "CPAEpisodeID" VARCHAR(20) NOT NULL,
    "CPAReviewDate" DATE NOT NULL,
    "CareProfLocalID" VARCHAR(20)
);

-- MHS901 Staff Details
CREATE TABLE MHS901StaffDetails (
    "CareProfLocalID" VARCHAR(20) NOT NULL,
    "OrgIDCareProfLocalID" VARCHAR(5) NOT NULL,
    "ProfRegBodyCode" VARCHAR(2),
    "ProfRegEntryID" VARCHAR(32),
    "CareProfStaffGpMH" VARCHAR(2),
    "MainSpecCodeMH" VARCHAR(3),
    "OccCode" VARCHAR(3),
    "CareProfJobRoleCode" VARCHAR(5)
);

-- MHS902 Service or Team Details
CREATE TABLE MHS902ServiceTeamDetails (
    "CareProfTeamLocalID" VARCHAR(20) NOT NULL,
    "OrgIDCareProfTeamLocalID" VARCHAR(5) NOT NULL,
    "ServTeamTypeMH" VARCHAR(3) NOT NULL,
    "ServTeamIntAgeGroup" VARCHAR(2) NOT NULL
);

-- MHS903 Ward Details
CREATE TABLE MHS903WardDetails (
    "WardCode" VARCHAR(12) NOT NULL,
    "SiteIDOfTreat" VARCHAR(9),
    "WardIntendedSex" VARCHAR(1),
    "WardIntendedClinCareMH" VARCHAR(2),
    "WardAge" VARCHAR(2),
    "WardType" VARCHAR(2),
    "WardSecLevel" VARCHAR(1),
    "LockedWardInd" VARCHAR(1),
    "AvailBedDays" DECIMAL(3, 0),
    "ClosedBedDays" DECIMAL(3, 0)
);
