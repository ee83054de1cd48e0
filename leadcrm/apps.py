from __future__ import annotations

from django.apps import AppConfig


class LeadcrmConfig(AppConfig):
    name = "leadcrm"

    def ready(self) -> None:
        from leadcrm import checks  # noqa: F401 - registers them
