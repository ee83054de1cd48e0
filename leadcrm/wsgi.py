"""The WSGI application, with its static files. WSGI only: under ASGI, persistent connections would pile up."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadcrm.settings")

# Around Django rather than in its middleware: a webhook does not pass by the static files.
application = WhiteNoise(get_wsgi_application(), root=settings.STATIC_ROOT, prefix=settings.STATIC_URL)
