"""Invitations to a workspace: a link with a secret, for one use, good for seven days.

Only the secret's digest is kept, so a link is shown once: when it is made. Asking again makes a new one.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts.members import MemberRefused
from contacts.models import Invitation, Membership, Workspace

VALID_FOR = timedelta(days=7)


def invite(workspace: Workspace, email: str, role: str, *, by: User) -> tuple[Invitation, str]:
    """The invitation and its secret. Whoever is invited already gets a new link, and the old one is void."""
    email = email.strip().lower()
    if Membership.objects.filter(workspace=workspace, user__email__iexact=email).exists():
        raise MemberRefused(_("%(email)s works here already.") % {"email": email})
    with transaction.atomic():
        Invitation.objects.filter(workspace=workspace, email=email, accepted_at=None).delete()
        secret = secrets.token_urlsafe(32)
        made = Invitation.objects.create(
            workspace=workspace,
            email=email,
            role=role,
            by=by,
            token_digest=digest(secret),
            expires_at=timezone.now() + VALID_FOR,
        )
    return made, secret


def open_invitations(workspace: Workspace) -> QuerySet[Invitation]:
    """Those that nobody accepted yet, expired ones included: they can be sent again."""
    return Invitation.objects.filter(workspace=workspace, accepted_at=None).select_related("by")


def invitation_of(secret: str) -> Invitation | None:
    """As long as the link is good."""
    valid = Invitation.objects.filter(accepted_at=None, expires_at__gt=timezone.now())
    return valid.filter(token_digest=digest(secret)).select_related("workspace", "by").first()


def accept(invitation: Invitation, user: User) -> bool:
    """The user works in the workspace from now on. False if somebody else was quicker: then nothing happened.

    Whoever works there already stays what they are.
    """
    with transaction.atomic():
        fresh = Invitation.objects.filter(
            pk=invitation.pk,
            token_digest=invitation.token_digest,
            accepted_at=None,
            expires_at__gt=timezone.now(),
        )
        if not fresh.update(accepted_at=timezone.now(), accepted_by=user):
            return False
        Membership.objects.get_or_create(
            workspace=invitation.workspace, user=user, defaults={"role": invitation.role}
        )
        User.objects.filter(pk=user.pk, is_staff=False).update(is_staff=True)
    return True


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
