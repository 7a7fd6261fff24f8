"""The figures that this platform promises, shown at full size: ``make prove``, ``make prove R=R2``.

``figures`` lists them. A figure has parts; each runs in a process of its own on a database of its own,
is remembered once it is right, and is not run again on the same code: what was interrupted goes on where
it was. When all parts are right, ``docs/proofs.md`` gets a line. ``make test`` runs a small version of each.
"""
