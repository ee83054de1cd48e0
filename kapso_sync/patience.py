"""Two transactions in each other's way: which errors say so, and how often something is tried again before it gives up."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import TypeVar

import psycopg
from django.db import OperationalError, connection
from django.utils.translation import gettext as _

# What PostgreSQL says when two transactions got in each other's way: deadlock, serialization failure, and a unique
# violation (somebody adds a lead by hand while its first message comes: the next try finds that lead). Or that it
# ends the session, as it does when it is restarted: the next try has a new one.
TRY_AGAIN = {"40P01", "40001", "23505", "57P01", "57P02"}
LOCK_TIMEOUT = "55P03"

# A webhook waits for no lock longer than 3 seconds, and whoever waits for the same one waits behind us: so rather
# several short waits, with a pause in which the others get through.
TRIES = 5
PAUSE = 1.0

Result = TypeVar("Result")


class InTheWay(Exception):  # noqa: N818 - no fault of anybody
    """Raised within `patiently` by work that finds out in its own way that others were."""


class TooBusy(Exception):  # noqa: N818 - said to people, not raised by a fault
    """Others were in the way each time. Says what is to be done."""

    def __init__(self, said: str = "") -> None:
        super().__init__(
            said or _("Others were at work on the same rows. What is done stays: try again in a moment.")
        )


def sqlstate(error: BaseException) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)


def was_cut_off(error: BaseException) -> bool:
    """The connection broke in the middle, without a word from PostgreSQL, and Django has made a new one by now: it does
    where a transaction ends. False where it cannot, as where there is no server."""
    broke = isinstance(error.__cause__, psycopg.OperationalError) and not sqlstate(error)
    return broke and connection.connection is not None


def timed_out(error: BaseException) -> bool:
    """It waited for a lock for as long as anybody may."""
    return sqlstate(error) == LOCK_TIMEOUT


def met_others(error: BaseException) -> bool:
    """Nothing is wrong but the moment."""
    return sqlstate(error) in {*TRY_AGAIN, LOCK_TIMEOUT}


def patiently(work: Callable[[], Result]) -> Result:
    """What `work` returns, which is one transaction; tried again while others are in its way, then `TooBusy`."""
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except (OperationalError, InTheWay) as error:
            if not (isinstance(error, InTheWay) or met_others(error)):
                raise
            if attempt == TRIES:
                raise TooBusy from error
            sleep(PAUSE)
    raise AssertionError
