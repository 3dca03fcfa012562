"""A release for those who use it without this software: as data with its description, copied to where they are, with its lineage."""
