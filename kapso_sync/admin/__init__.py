"""What Kapso delivered and what came of it; the WhatsApp numbers that it delivers for."""

from __future__ import annotations

from kapso_sync.admin.deliveries import DeliveryAdmin
from kapso_sync.admin.numbers import NumberAdmin

__all__ = ["DeliveryAdmin", "NumberAdmin"]
