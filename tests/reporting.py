"""A workspace that is written to and writes, at times that a test says: for the tests of its figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.test import Client

from contacts.models import Contact, Conversation, Membership, Message, PhoneNumber, Workspace

_counter = count(1)


@dataclass(slots=True)
class Shop:
    """One workspace with a number; times are told in its own zone."""

    workspace: Workspace
    number: PhoneNumber

    @classmethod
    def open(cls, name: str = "Madrid", zone: str = "Europe/Madrid", **fields: Any) -> Shop:
        workspace = Workspace.objects.create(name=name, slug=name.lower()[:50], time_zone=zone, **fields)
        number = PhoneNumber.objects.create(workspace=workspace, phone_number_id=f"90{workspace.pk}")
        return cls(workspace, number)

    def at(self, text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(self.workspace.time_zone))

    def lead(self, name: str = "", **fields: Any) -> Contact:
        number = next(_counter)
        known = {"name": name or f"Lead {number}", "phone": f"34600{number:06}"}
        return Contact.objects.create(workspace=self.workspace, **known | fields)

    def thread(self, lead: Contact, **fields: Any) -> Conversation:
        thread, _ = Conversation.objects.get_or_create(
            workspace=self.workspace, contact=lead, phone_number=self.number
        )
        Conversation.objects.filter(pk=thread.pk).update(**fields)
        return thread

    def wrote(self, lead: Contact, at: str | datetime, **fields: Any) -> Message:
        """The customer did. The lead's clocks move as the sync would move them."""
        return self._message(lead, at, {"direction": "inbound", "status": "received"} | fields)

    def answered(self, lead: Contact, at: str | datetime, **fields: Any) -> Message:
        return self._message(lead, at, {"direction": "outbound", "status": "delivered"} | fields)

    def _message(self, lead: Contact, at: str | datetime, fields: dict[str, Any]) -> Message:
        sent_at = self.at(at) if isinstance(at, str) else at
        made = Message.objects.create(
            workspace=self.workspace,
            phone_number=self.number,
            conversation=self.thread(lead),
            contact=lead,
            kapso_message_id=f"wamid.report.{next(_counter)}",
            sent_at=sent_at,
            content="Hola",
            **fields,
        )
        clock = "last_inbound_at" if made.direction == "inbound" else "last_contact_at"
        known = getattr(lead, clock)
        if made.status != "failed" and (known is None or known < sent_at):
            Contact.objects.filter(pk=lead.pk).update(**{clock: sent_at, "last_activity_at": sent_at})
            setattr(lead, clock, sent_at)
        return made

    def member(self, name: str, role: str = "manager", **fields: Any) -> User:
        user = User.objects.create_user(name, is_staff=True, **fields)
        Membership.objects.create(workspace=self.workspace, user=user, role=role)
        return user


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client
