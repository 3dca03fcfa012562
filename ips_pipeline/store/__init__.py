"""The only code that opens DuckDB and the only code that writes under a site's data directory."""
