"""A story of forty people, told to the webhook as Kapso would tell it. Pure: only `posting` leaves the process.

`stories` reads who says what, `plot` gives it times and ids, `payloads` makes the webhooks of it.
"""
