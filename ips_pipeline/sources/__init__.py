"""From a trust's systems to the landing: adapters, the mapping of local columns and codes, and made-up trusts to try them on."""
