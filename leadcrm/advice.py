"""One line for what the person at the terminal can mend, in place of a traceback."""

from __future__ import annotations

import errno

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from environs import EnvError

from leadcrm.embedded.cluster import EmbeddedPostgresError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_EXPECTED = "DEBUG and HTTPS take on or off, PORT takes a number."


def advice_on(error: BaseException) -> str | None:
    """What to do about this error; None if it is nothing that we know, that is, a bug."""
    match error:
        case EnvError():
            return f"{error} {_EXPECTED}"
        case ImproperlyConfigured():
            return str(error)
        case ValueError() if "Incorrect timezone setting" in str(error):
            return f"TIME_ZONE: {str(error).rpartition(': ')[2]!r} is no time zone. Write it as America/Lima."
        case EOFError():
            return "An answer is needed, and there is nobody to give it."
        case OperationalError(__cause__=EmbeddedPostgresError()):
            return str(error)
        case OperationalError(__cause__=psycopg.OperationalError(sqlstate=None)):
            return _unreachable(error)
        case OperationalError(__cause__=psycopg.errors.DiskFull()):
            return "The database's disk is full: make room and try again; nothing was lost."
        case OSError(errno=number) if number in _FULL:
            return f"The disk is full ({error.filename or 'writing a file'}): make room and try again."
        case OSError(errno=number, filename=str(path)) if number in _CLOSED:
            return (
                f"{path}: {error.strerror}. Run as the user whom it belongs to, or give it to you with chown."
            )
    return None


def unreachable(error: OperationalError) -> str:
    """A database that does not answer, named by what its driver said first."""
    return advice_on(error) or _unreachable(error)


def _unreachable(error: OperationalError) -> str:
    said = str(error).strip().splitlines()[0]
    return f"DATABASE_URL: the database cannot be reached. Does it run, are host, port, user, password and name right? ({said})"
