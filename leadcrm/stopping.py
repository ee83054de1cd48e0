"""What is to be done when the web server's process is told to stop.

The server has the signals; it waits for every request that is under way. Those who wait for news would keep it waiting.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from threading import Thread, current_thread, main_thread

SIGNALS = {signal.SIGINT, signal.SIGTERM}


def when_told_to_stop(act: Callable[[], object]) -> None:
    """Python also writes each signal that it handles into a pipe: so one can hear of it without handling it."""
    if current_thread() is not main_thread():  # somebody else's process, who may use that pipe
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def listen() -> None:
        while os.read(heard, 1)[0] not in SIGNALS:
            pass
        act()

    Thread(target=listen, name="stopping", daemon=True).start()
