"""Decisions: an object and what it depends on, looked at now, say what should be true.

``reconcile_*(object, view, now)`` returns an outcome and performs nothing: no API server, no
network, no clock, no randomness. The engine writes the difference between what is and what should
be, performs the effects, and asks again with their results in view.
"""
