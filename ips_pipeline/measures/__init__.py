"""NHS England's IPS measures: national derivations, evidence rows, one aggregation, one disclosure step, publication files."""

from ips_pipeline.measures.computation import compute

__all__ = ["compute"]
