"""The SQL of the sync, one statement a file, in the order in which a batch issues them.

A batch of one event or of ten thousand is one JSON parameter, so the number of statements never grows, and PostgreSQL
does the set work: upserts, joins by natural key, newest and earliest. What a statement may rely on is said on top of
it; who calls it says when.
"""
