"""Run Python with these arguments to its end, and print as JSON what that took: seconds, and megabytes at most.

A process of its own, and a small one. What Linux says of a process's largest memory begins with that of whoever started
it: the bench, which holds all deliveries that it sends, would find its own memory again, the more the more there are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

LONGEST = 1700.0  # seconds: less than whoever waits for this gives it


def spend(arguments: list[str]) -> int:
    started = time.monotonic()
    # What it prints goes where errors go: what is printed here is read.
    process = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    watchdog = threading.Timer(LONGEST, process.kill)
    watchdog.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)  # the one way to learn the memory of this process alone
    finally:
        watchdog.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    sys.stdout.write(json.dumps({"seconds": time.monotonic() - started, "megabytes": usage.ru_maxrss / 1024}))
    return process.returncode


if __name__ == "__main__":
    sys.exit(spend(sys.argv[1:]))
