-- What the published table calls a sub-ICB, and the ICB and region it lies in.
-- Grain: one row per sub-ICB. Keys: SubICB. That it is grouped by its key lets a reader who asks for no names go without the join.
SELECT
    SubICB,
    max(SubICBName) AS sub_icb_name,
    max(ICB) AS icb,
    max(ICBName) AS icb_name,
    max(Region) AS region,
    max(RegionName) AS region_name
FROM geography
GROUP BY SubICB
