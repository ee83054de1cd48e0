"""The forms in which WhatsApp and people write one mobile (CONTRACT.md 8.3).

Its id may lack the ninth digit in Brazil, have a 1 after Mexico's 52, a 9 after Argentina's 54. That only suggests
that two leads are one, and finds what somebody typed; a phone is always stored as it came. `contacts_phone_key`
(migration 0004) is the same rule in SQL.
"""

from __future__ import annotations

import re

from django.utils.translation import gettext_lazy

# Brazil's area codes; a landline begins with 2 to 5 and has eight digits, always.
_AREA = r"(?:1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])"
# What comes before the digit that may be missing, that digit, and what comes after it.
_MOBILES = (
    (re.compile(rf"(55{_AREA})9?([6-9][0-9]{{7}})"), "9", gettext_lazy("Brazil's ninth digit")),
    (re.compile(r"(52)1?([2-9][0-9]{9})"), "1", gettext_lazy("Mexico's 1 after 52")),
    (re.compile(r"(54)9?([123][0-9]{9})"), "9", gettext_lazy("Argentina's 9 after 54")),
)
# As typed at home, without the country code: area code and mobile.
_BRAZIL_AT_HOME = re.compile(rf"0?({_AREA})9?([6-9][0-9]{{7}})")


def forms(digits: str) -> list[str]:
    """All forms of a phone with its country code, itself included; the shorter one first."""
    for pattern, extra, _ in _MOBILES:
        if match := pattern.fullmatch(digits):
            return [match[1] + match[2], match[1] + extra + match[2]]
    return [digits]


def is_longer_form(digits: str) -> bool:
    """With the digit that may be missing: a phone of WhatsApp's, whatever the numbering plan of its country says."""
    return digits in forms(digits)[1:]


def difference(digits: str) -> str:
    """By what the forms of this phone differ, in words; "" if there is only one."""
    return str(next((words for pattern, _, words in _MOBILES if pattern.fullmatch(digits)), ""))


def parts_to_find(typed: str) -> list[str]:
    """What to look for in stored phones when somebody typed these digits, with or without the country code."""
    digits = typed.lstrip("0")
    home = _BRAZIL_AT_HOME.fullmatch(digits)
    if home and len(forms(digits)) == 1:
        return [digits, home[1] + home[2], f"{home[1]}9{home[2]}"]
    return [digits, *forms(digits)]
