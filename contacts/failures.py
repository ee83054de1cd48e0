"""Why a message did not arrive, in plain words, and what to do next (CONTRACT.md 11.3 and 13.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as Words
else:
    Words = str


@dataclass(frozen=True, slots=True)
class Failure:
    """`reason` and `advice` are ours; `told` is what WhatsApp said of it, which is a stranger's text."""

    reason: str | Words
    advice: str | Words
    code: int | None = None
    told: str = ""


def explain(code: int | None, told: str) -> Failure:
    """What is known of an error, whether or not its code is one that we know."""
    told = told.strip()
    if code in REASONS:
        return Failure(*REASONS[code], code, told)
    if told:
        return Failure(told, TRY_AGAIN, code)
    return Failure(_("WhatsApp gave no reason"), TRY_AGAIN, code)


TRY_AGAIN = _("Open the chat and send it again. If it fails again, write to this person in another way.")

_TEMPLATE = (
    _("Something is wrong with the template: its name, its language or what was filled in"),
    _("Check the template in Kapso, then send it again or choose another one."),
)
_WHATSAPP_HELD_BACK = (
    _("WhatsApp chose not to deliver it: this person gets many marketing messages just now"),
    _(
        "Wait at least 24 hours before you send marketing again. If they write to you, you can answer at once."
    ),
)
_TOO_FAST = (
    _("Too many messages were sent in too short a time"),
    _("Wait a few minutes, then send it again."),
)
_ACCOUNT = (
    _("WhatsApp restricted the business account or the number"),
    _(
        "Nothing more will arrive until that is settled: tell whoever looks after Kapso and WhatsApp at your company."
    ),
)
_TEMPORARY = (
    _("WhatsApp had a fault of its own"),
    _("Look into the chat whether it arrived nevertheless. If it did not, send it again in a few minutes."),
)
_SETTING_UP = (
    _("Something about the number has to be settled with WhatsApp: payment, registration or display name"),
    _("Tell whoever looks after Kapso and WhatsApp at your company."),
)

# Meta's code -> the reason, and what to do next.
# developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
REASONS: dict[int | None, tuple[Words, Words]] = {
    131047: (
        _("More than 24 hours have passed since they last wrote, so WhatsApp takes approved templates only"),
        _("Send a template. Once they answer, you can write freely for 24 hours again."),
    ),
    131026: (
        _("It cannot be delivered: the number may not be on WhatsApp, has blocked you, or has an old app"),
        _("Sending again does not help. Check the number, then call or write in another way."),
    ),
    131049: _WHATSAPP_HELD_BACK,
    130472: _WHATSAPP_HELD_BACK,
    131050: (
        _("They asked WhatsApp for no more marketing messages from you"),
        _("Send no marketing. If they write to you, you can answer."),
    ),
    131051: (
        _("WhatsApp does not know this kind of message"),
        _("Send it in another form, for example as text."),
    ),
    131052: (
        _("The file that they sent could not be fetched from WhatsApp"),
        _("Ask them to send it again."),
    ),
    131053: (
        _("WhatsApp could not take the attached file"),
        _("Check its type and size (pictures up to 5 MB, videos up to 16 MB, documents up to 100 MB), then send it again."),
    ),
    131062: (
        _("Codes to log in with are sent to phones only, and this person's phone is hidden"),
        _("Ask them for their phone number, or send another kind of message."),
    ),
    131021: (
        _("It was addressed to your own number"),
        _("Check which number this lead has."),
    ),
    1026: (
        _("Their app cannot show this kind of message"),
        _("Send something simpler, for example text."),
    ),
    131048: _TOO_FAST,
    131056: _TOO_FAST,
    130429: _TOO_FAST,
    80007: _TOO_FAST,
    4: _TOO_FAST,
    **dict.fromkeys((132000, 132001, 132005, 132007, 132012, 132015, 132016), _TEMPLATE),
    **dict.fromkeys((131031, 368, 130497), _ACCOUNT),
    **dict.fromkeys((131037, 131042, 131045, 133010), _SETTING_UP),
    **dict.fromkeys((131000, 131016, 131057), _TEMPORARY),
}  # fmt: skip
