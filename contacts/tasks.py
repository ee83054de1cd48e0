"""Background jobs of the CRM. As those of kapso_sync: a job says what is to be looked after, never which rows."""

from __future__ import annotations

import time

from django.utils import timezone
from procrastinate.contrib.django import app

from contacts import digests, in_turn, notifying, old_news
from contacts.lead_import import running


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="give_out_in_turn")
def give_out_in_turn(timestamp: int) -> None:  # noqa: ARG001 - procrastinate tells when it was due
    in_turn.give_out()


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="tell_people")
def tell_people(timestamp: int) -> None:  # noqa: ARG001 - as above
    """First what there is to tell: this morning's mail has today's follow-ups."""
    now = timezone.now()
    notifying.follow_ups_due(now)
    digests.send_due(now)


@app.periodic(cron="41 3 * * *")
@app.task(queueing_lock="forget_old_notifications")
def forget_old_notifications(timestamp: int) -> None:  # noqa: ARG001 - as above
    notifying.forget_old(timezone.now())


@app.periodic(cron="23 3 * * *")
@app.task(queueing_lock="forget_old_changes")
def forget_old_changes(timestamp: int) -> None:  # noqa: ARG001 - as above
    old_news.forget(timezone.now())


@app.periodic(cron="* * * * * */10")
@app.task(queueing_lock="go_on_with_imports")
def go_on_with_imports(timestamp: int) -> None:  # noqa: ARG001 - as above
    """Until nothing is due, but not for ever: the next turn is seconds away."""
    end = time.monotonic() + 300
    while time.monotonic() < end and running.go_on(seconds=300):
        pass


@app.periodic(cron="53 3 * * *")
@app.task(queueing_lock="forget_old_imports")
def forget_old_imports(timestamp: int) -> None:  # noqa: ARG001 - as above
    running.forget_old(timezone.now())
