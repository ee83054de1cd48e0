"""Background jobs of the API. As those of kapso_sync: a job says what is to be looked after, never which rows."""

from __future__ import annotations

from procrastinate.contrib.django import app

from api import idempotency


@app.periodic(cron="29 * * * *")
@app.task(queueing_lock="forget_kept_answers")
def forget_kept_answers(timestamp: int) -> None:  # noqa: ARG001 - procrastinate tells when it was due
    idempotency.forget_old()
