"""Threads and messages: to read only. What writes messages is WhatsApp."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.request import Request

from api.filters import Narrowed
from api.pagination import NewestFirst
from api.parameters import Id, OneOf, Text, YesNo, after, before
from api.problems import invalid_parameter
from api.serializers.talk import ConversationSerializer, MessageSerializer
from api.views.rows import Listed, Retrieved
from contacts.lead_views import WINDOW
from contacts.models import Conversation, Message


class ConversationFilters(Narrowed):
    workspace = Id("workspace", "In this workspace.")
    contact = Id("contact", "Of this contact.")
    number = Id("phone_number", "On this number (its `id`).")
    status = Text("status", "With this status, Kapso's word for its newest session: `active`, `ended`.", 20)
    window_open = YesNo(
        None, "The customer's last message to this number is less than 24 hours old.", method="by_window"
    )
    last_message_after = after("last_message_at", "With a last message")
    last_message_before = before("last_message_at", "With a last message")

    def by_window(self, threads: QuerySet[Any], _name: str, value: bool) -> QuerySet[Any]:
        since = timezone.now() - WINDOW
        return (
            threads.filter(last_inbound_at__gt=since) if value else threads.exclude(last_inbound_at__gt=since)
        )


class MessageFilters(Narrowed):
    workspace = Id("workspace", "In this workspace.")
    contact = Id("contact", "Of this contact.")
    conversation = Id(None, "Of this conversation.", method="of_conversation")
    number = Id("phone_number", "On this number (its `id`).")
    direction = OneOf("direction", "From the customer, or from us.", Message.Direction.values)
    type = Text("message_type", "Of this type: WhatsApp's word, an open set.", 64)
    status = OneOf("status", "With this status.", Message.Status.values)
    sent_after = after("sent_at", "Sent")
    sent_before = before("sent_at", "Sent")

    def of_conversation(self, messages: QuerySet[Any], _name: str, value: int) -> QuerySet[Any]:
        """By the contact, too: messages have an index of that."""
        contact = Conversation.objects.filter(pk=value).values("contact")
        return messages.filter(conversation=value, contact__in=contact)


class MessagePages(NewestFirst):
    field = "sent_at"
    orderings = ("id", "-sent_at")
    about_orderings = (
        "By `id` (in the order in which they were stored) each message comes exactly once. `-sent_at`, newest first, is "
        "for the messages of one `contact` or `conversation`."
    )

    def paginate_queryset(self, rows: Any, request: Request, view: Any = None) -> list[Any]:
        """Of a whole workspace they have no index in that order."""
        given = request.query_params
        if given.get("ordering") == "-sent_at" and not {"contact", "conversation"} & set(given):
            raise invalid_parameter(
                "ordering", "-sent_at is for the messages of one contact or conversation."
            )
        return super().paginate_queryset(rows, request, view)


class ConversationViews(Listed, Retrieved):
    resource, one, many = "conversations", "a conversation", "conversations"
    about = "The thread of one contact with one of your numbers."
    serializer_class = ConversationSerializer
    filterset_class = ConversationFilters

    def visible(self) -> QuerySet[Conversation]:
        return Conversation.objects.filter(self.rights.of_leads())


class MessageViews(Listed, Retrieved):
    resource, one, many = "messages", "a message", "messages"
    about = "What was written, by either side. Messages come from WhatsApp: nobody writes them here."
    serializer_class = MessageSerializer
    filterset_class = MessageFilters
    pagination_class = MessagePages

    def visible(self) -> QuerySet[Message]:
        return Message.objects.filter(self.rights.of_leads())

    def dressed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.defer(*MessageSerializer.unread_columns(self.asked))
