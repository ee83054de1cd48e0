"""Why something was changed, where leadcrm itself says so: stored in English, shown in the language of who reads."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

# Nobody made the change of owner: the lead was given out (contacts.in_turn).
IN_TURN = gettext_noop("in turn")
UNDONE = gettext_noop("Undone")
WROTE_AGAIN = gettext_noop("Wrote again")
_LEFT = " left the workspace"
_OURS = {IN_TURN, UNDONE, WROTE_AGAIN}


def left(name: str) -> str:
    """Why the leads of somebody changed hands."""
    return f"{name[:150]}{_LEFT}"


def shown(reason: str) -> str:
    """What people typed stays as it is."""
    if reason in _OURS:
        return _(reason)
    if reason.endswith(_LEFT):
        return _("%(name)s left the workspace") % {"name": reason.removesuffix(_LEFT)}
    return reason
