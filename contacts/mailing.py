"""E-mails of the CRM: sent where e-mail is configured, and never the reason why a page fails."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail

log = logging.getLogger(__name__)


def mail(to: str, *, subject: str, text: str) -> bool:
    """Whether it was handed to the mail server."""
    if not settings.CAN_MAIL:
        return False
    try:
        send_mail(" ".join(subject.split()), text, None, [to])
    except (SMTPException, OSError) as error:
        log.warning("an e-mail could not be sent: %s", error)
        return False
    return True
