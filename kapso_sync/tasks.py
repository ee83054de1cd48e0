"""Background jobs (procrastinate: PostgreSQL is the queue). The product is correct without a worker, only later.

A job says what is to be looked after, never which rows: what is due is in the tables. So none is lost with a job, and
finished ones are deleted at once (`PROCRASTINATE_WORKER_DEFAULTS`).
"""

from __future__ import annotations

from django.utils import timezone
from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.jobs import Status

from kapso_sync.forgotten import drop_forgotten_shadows
from kapso_sync.retention import clear_old_bodies
from kapso_sync.retrying import retry_until_nothing_is_due
from kapso_sync.silence import tell_of_silence


# The sixth field is seconds: the shortest pauses are shorter than a minute. The queueing lock keeps turns from piling
# up behind a long one.
@app.periodic(cron="* * * * * */10")
@app.task(queueing_lock="retry_deliveries")
def retry_deliveries(timestamp: int) -> None:  # noqa: ARG001 - procrastinate tells when it was due
    retry_until_nothing_is_due()


@app.periodic(cron="17 3 * * *")
@app.task(queueing_lock="clear_bodies")
def clear_bodies(timestamp: int) -> None:  # noqa: ARG001 - as above
    clear_old_bodies()


@app.periodic(cron="47 3 * * *")
@app.task(queueing_lock="drop_shadows")
def drop_shadows(timestamp: int) -> None:  # noqa: ARG001 - as above
    drop_forgotten_shadows()


@app.periodic(cron="*/5 * * * *")
@app.task(queueing_lock="tell_of_silence")
def tell_of_silence_by_now(timestamp: int) -> None:  # noqa: ARG001 - as above
    tell_of_silence(timezone.now())


@app.periodic(cron="*/10 * * * *")
@app.task(queueing_lock="forget_jobs_of_dead_workers", pass_context=True)
async def forget_jobs_of_dead_workers(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - as above
    """A killed worker leaves its job as one that is being done: the next turn does the work, nobody ends the row."""
    for job in await context.app.job_manager.get_stalled_jobs():
        await context.app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
