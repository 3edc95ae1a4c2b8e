"""The ledger: what is too many or too long for objects in the cluster, kept where it cannot be lost.

Decisions with their receipts (a hash chain), our own revocation feeds, partners' heads and merged
revocations, and evidence against partners. SQLite in a volume, or PostgreSQL where several replicas
serve: one schema, one interface (:mod:`bilateral.ledger.interface`), numbered migrations.

It sits on ``protocol`` alone, signs nothing, verifies no signature, and has no clock: every time is passed.
"""
