"""The WSGI application, with its static files. WSGI only: under ASGI, persistent connections would pile up."""

from __future__ import annotations

import gc
import os
import sys

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

from leadcrm.stopping import when_told_to_stop
from leadcrm.turns import Turns
from leadcrm.webserver import AT_WORK

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadcrm.settings")

# Around Django rather than in its middleware: a webhook does not pass by the static files, nor do they wait for a turn.
application = WhiteNoise(
    Turns(get_wsgi_application(), AT_WORK), root=settings.STATIC_ROOT, prefix=settings.STATIC_URL
)


def _send_away_who_waits() -> None:
    from api.waiting import room  # it has models, which are there only now

    room.close()


when_told_to_stop(_send_away_who_waits)

# A webhook needs Python for a moment after each of its statements, and a page has it for long: let it have less of it at a
# time. (5 milliseconds is Python's own. Measured: docs/performance.md.)
sys.setswitchinterval(0.0005)

# What is there from the start stays: looking through it again and again takes a tenth of a webhook's time.
gc.collect()
gc.freeze()
