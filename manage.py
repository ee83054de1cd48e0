#!/usr/bin/env python
"""Django's command line, with leadcrm's settings."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadcrm.settings")
    try:
        from django.core.management import execute_from_command_line

        from leadcrm.advice import advice_on
        from leadcrm.databases import go_past_pgbouncer
    except ModuleNotFoundError as error:
        sys.exit(f"leadcrm: {error}. Run `make install`, then use .venv/bin/python.")
    go_past_pgbouncer("".join(sys.argv[1:2]))
    try:
        execute_from_command_line(sys.argv)
    except BrokenPipeError:
        # Whoever read what we write has enough: `... | head`. Nothing is left to be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        advice = advice_on(error)
        if advice is None or "--traceback" in sys.argv:
            raise
        sys.exit(f"leadcrm: {advice}")


if __name__ == "__main__":
    main()
