-- Where the postcodes lie that submissions give as homes, and how deprived their small areas are.
-- They are few among all postcodes, and every reader of them joins to the people of all months.
-- A postcode that the list has twice, word for word, is there once.
-- Grain: one row per postcode of MHS001 that the list of postcodes has. Keys: Postcode.
SELECT DISTINCT
    postcode.Postcode,
    postcode.LSOA2011,
    postcode.LADistrictAuth,
    postcode.SubICB,
    lsoa_imd.IMDDecile2019
FROM (SELECT DISTINCT Postcode FROM MHS001MPI) AS given
INNER JOIN postcode ON postcode.Postcode = given.Postcode
LEFT JOIN lsoa_imd ON lsoa_imd.LSOA2011 = postcode.LSOA2011
