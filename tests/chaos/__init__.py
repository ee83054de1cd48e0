"""`make chaos`: the server and its database are killed again and again while webhooks arrive, and nothing is lost.

`traffic` makes deliveries whose outcome is known beforehand, `senders` post them and retry as Kapso does, `trouble`
kills and stops what runs, and `verdict` counts in the database what was lost, doubled or done by half. `site` is what
all that happens to: leadcrm as in production, with a PostgreSQL of its own.
"""
