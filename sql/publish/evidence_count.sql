-- Every quantity of the evidence of all families at every level of every breakdown; see evidence_total.sql. A new family adds a line here too.
-- Grain: one row per family, period, breakdown, level and quantity. Keys: family, period_start, period_end, breakdown, level, quantity.
SELECT * FROM evidence_total('access')
UNION ALL
SELECT * FROM evidence_total('dashboard_corrected')
UNION ALL
SELECT * FROM evidence_total('targets')
UNION ALL
SELECT * FROM evidence_total('employment')
UNION ALL
SELECT * FROM evidence_total('waits')
UNION ALL
SELECT * FROM evidence_total('health_use')
UNION ALL
SELECT * FROM evidence_total('data_quality')
UNION ALL
SELECT * FROM evidence_total('fairness')
UNION ALL
SELECT * FROM evidence_total('ips_grow')
UNION ALL
SELECT * FROM evidence_total('trial')
