"""Judge a submission as the national portal would: rule kinds, findings, the cascade, the gate and the reports."""
