from __future__ import annotations

from django.apps import AppConfig


class KapsoSyncConfig(AppConfig):
    name = "kapso_sync"
    verbose_name = "Kapso"
