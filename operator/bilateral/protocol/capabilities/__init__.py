"""Capabilities of chio: tokens, delegations and whole chains, read, signed and verified.

``chains`` is the way in for what a stranger presents; ``tokens`` and ``links`` sign; ``subsets``
compares scopes. Whether a chain is allowed anything here is decided by policies, not below.
"""
