"""`make bench`: what Fupan reaches on this machine, against the goals of docs/performance.md.

One module a part: ingest, seal, replay, analysis, audit, pages. Each drives the product's real processes and
hands its figures to a Sheet; none asserts anything, since a busy machine is no fault of the code.
"""
