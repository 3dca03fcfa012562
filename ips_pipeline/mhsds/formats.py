"""How values are written in the data set: a pattern for postcodes; SQL functions for dates, NHS numbers and SNOMED CT identifiers.

They decide as NHS England's published v6 submission rules do when executed: nothing is trimmed and case counts.
"""

from __future__ import annotations

#: A postcode with a space between its two parts; a match of the whole value.
POSTCODE = r"[A-Za-z]{1,2}[0-9][A-Za-z0-9]?\s+[0-9][A-Za-z]{2}"

_VERHOEFF_PERMUTATION = "01234567891576283094580379614289160435279453126870428657390127938064157046913258"
_VERHOEFF_PRODUCT = "0123456789123406789523401789563401289567401239567859876043216598710432765982104387659321049876543210"

#: What the check comes to after one more digit, by the digit's place (8 in turn), what it was before, and the digit.
_VERHOEFF_STEPS = ", ".join(
    _VERHOEFF_PRODUCT[10 * before + int(_VERHOEFF_PERMUTATION[10 * place + digit])]
    for place in range(8)
    for before in range(10)
    for digit in range(10)
)

#: SQL functions that rules and measures call, created once per connection.
MACROS = (
    # A date in a comparison: only the first ten characters count; one-digit months and days are taken, what follows them is not read.
    r"CREATE MACRO written_date(t) AS TRY_CAST(regexp_extract(left(t, 10), '^\s*([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})', 1) AS DATE)",
    # A date as the date rule reads it: a year, a year and month or a full date, one-digit parts and a midnight time allowed.
    r"""CREATE MACRO lenient_date(t) AS CASE
        WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}') THEN TRY_CAST(t AS DATE)
        WHEN regexp_full_match(t, '\s*[0-9]{4}\s*') THEN TRY_CAST(trim(t) || '-01-01' AS DATE)
        WHEN regexp_full_match(t, '\s*[0-9]{4}-[0-9]{1,2}\s*') THEN TRY_CAST(trim(t) || '-01' AS DATE)
        WHEN regexp_full_match(t, '\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([T ]00:00:00)?\s*')
        THEN TRY_CAST(regexp_extract(t, '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}') AS DATE) END""",
    # A date as the GP continuity check reads it: what stands at the start, blanks before it and one-digit parts allowed.
    r"CREATE MACRO leading_date(t) AS TRY_CAST(regexp_extract(t, '^\s*([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})', 1) AS DATE)",
    # A point in time to the second, whatever zone is written after it.
    "CREATE MACRO written_time(t) AS TRY_CAST(replace(left(t, 19), 'T', ' ') AS TIMESTAMP)",
    # Verhoeff's check over the digits read from the right: 0 when the check digit is right.
    f"""CREATE MACRO verhoeff(t) AS list_reduce(list_transform(string_split(reverse(t), ''), lambda digit: ascii(digit) - ascii('0')),
        lambda before, digit, place: [{_VERHOEFF_STEPS}][CAST((place - 1) % 8 * 100 + before * 10 + digit + 1 AS BIGINT)], 0)""",
    # A SNOMED CT concept identifier: 6 to 18 digits, partition 00 or 10, Verhoeff check digit. Not whether the concept exists.
    "CREATE MACRO is_concept(t) AS CASE WHEN regexp_full_match(t, '[0-9]{3,15}[01]0[0-9]') THEN verhoeff(t) = 0 ELSE false END",
    # A concept, or concept:attribute=value with one of the given attributes; 56 characters at most. A case, since an OR decides both sides.
    """CREATE MACRO is_expression(t, attributes) AS CASE WHEN NOT contains(t, ':') THEN is_concept(t)
        ELSE length(t) <= 56 AND regexp_full_match(t, '[0-9]+:[0-9]+=[0-9]+') AND regexp_extract(t, ':([0-9]+)=', 1) IN attributes
        AND is_concept(split_part(t, ':', 1)) AND is_concept(split_part(t, '=', 2)) END""",
    # Ten digits, modulus 11 over the weights 10 to 1, and not a palindrome.
    """CREATE MACRO is_nhs_number(t) AS CASE WHEN regexp_full_match(t, '[0-9]{10}') THEN t <> reverse(t)
        AND list_sum(list_transform(range(1, 11), lambda i: (11 - i) * CAST(substr(t, i, 1) AS INTEGER))) % 11 = 0 ELSE false END""",
    f"CREATE MACRO is_postcode(t) AS regexp_full_match(t, '{POSTCODE}')",
)
