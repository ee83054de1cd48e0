from __future__ import annotations

from rest_framework import serializers


class MessageKapsoSerializer(serializers.Serializer):
    direction = serializers.ChoiceField(choices=["inbound", "outbound"])
    status = serializers.CharField()
    content = serializers.CharField(allow_blank=True)


class MessageSerializer(serializers.Serializer):
    id = serializers.CharField(max_length=255)
    type = serializers.CharField(max_length=20)
    timestamp = serializers.IntegerField()
    kapso = MessageKapsoSerializer()


class ConversationKapsoSerializer(serializers.Serializer):
    contact_name = serializers.CharField(max_length=255, allow_blank=True, required=False)


class ConversationSerializer(serializers.Serializer):
    id = serializers.CharField(max_length=64)
    phone_number = serializers.CharField(max_length=32)
    status = serializers.CharField(max_length=20)
    kapso = ConversationKapsoSerializer(required=False)


class WebhookSerializer(serializers.Serializer):
    message = MessageSerializer()
    conversation = ConversationSerializer()
    phone_number_id = serializers.CharField(max_length=64)
