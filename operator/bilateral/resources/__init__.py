"""The Kubernetes API of bilateral: one module a kind, and what all kinds share.

The types here are the single source: ``crds/`` and ``docs/reference.md`` are generated from them,
and every rule that the API server enforces is checked again when an object is parsed.
No I/O and no clock below this package.
"""
