"""A Django database backend that brings its own PostgreSQL, for trying leadcrm out and for its tests.

`base.py` is the backend: before it connects it asks `server.py` for a running PostgreSQL. That one is started by
`supervisor.py`, a small process which every process of this checkout shares and which stops PostgreSQL after the
last of them has ended, however it ended: it waits for a file lock that all of them hold. `cluster.py` says where
things are, `postgres.py` creates, starts and stops the cluster.
"""
