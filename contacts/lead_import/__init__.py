"""Leads out of a file that somebody uploads: CSV or XLSX.

`reading` makes rows of the file, `headers` guesses what its columns are, `values` what a row says, `matching` finds
whom it names, `planning` says what becomes of them, `writing` does it, `undoing` takes it back. `running` brings an
import forward, a batch at a time; `uploading` begins one. What people are told is in `words`.

A row is tried with the very code that imports it, so a check and the import differ only by what happened in between.
Nothing here touches what is derived from messages: an imported lead counts like one that somebody typed.
"""
