"""What leadcrm can do, measured against the least work that would do and against the usual way. `make bench`.

Every figure comes from one machine and one run; only ratios of one run say anything about another machine. So the
servers to compare are all up at once, take turns, and turn the order around each round (`rounds`). Nothing is reported
of a run in which anything went wrong (`Refused`).
"""
