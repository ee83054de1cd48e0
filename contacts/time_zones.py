"""The time zones that somebody may choose, by the names of the IANA database."""

from __future__ import annotations

import zoneinfo

# Places, and UTC: the rest are old names of the same, and tables of the computer's own.
ZONES = frozenset(
    name
    for name in zoneinfo.available_timezones()
    if "/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/", "US/"))
) | {"UTC"}


def zone_named(typed: str) -> str | None:
    """The zone as it is written, whatever the case and with spaces for underscores."""
    wanted = "_".join(typed.split()).casefold()
    return next((zone for zone in ZONES if zone.casefold() == wanted), None)
