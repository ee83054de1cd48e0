"""E-mails of the CRM, where a mail server is configured (EMAIL_URL): what is certain about each is told apart."""

from __future__ import annotations

import contextlib
import logging
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

log = logging.getLogger(__name__)


class NotSent(Exception):  # noqa: N818 - it says what is certain
    """The mail has not left, for certain."""


def mail(to: str, *, subject: str, text: str) -> bool:
    """Whether it was handed to the mail server. Never the reason why a page fails."""
    if not settings.CAN_MAIL:
        return False
    try:
        return post(EmailMessage(" ".join(subject.split()), text, to=[to]))
    except NotSent as error:
        log.warning("an e-mail could not be sent: %s", error)
        return False


def post(message: EmailMessage) -> bool:
    """Hand it to the mail server. A refusal is certain; a connection that breaks while it is told is not: False."""
    server = message.connection = get_connection()
    try:
        server.open()
    except (OSError, SMTPException) as error:
        raise NotSent(f"no connection to the mail server ({type(error).__name__})") from error
    try:
        return bool(message.send())
    except (SMTPResponseException, SMTPRecipientsRefused) as error:
        raise NotSent(f"the mail server refused it ({type(error).__name__})") from error
    except (OSError, SMTPException):
        log.exception("a mail may have been sent or not: it is not sent again")
        return False
    finally:
        with contextlib.suppress(OSError, SMTPException):
            server.close()
