"""How each kind is looked at: one module a kind, a view from the cache in, writes and plans out.

A looker is given a key when it is time, reads the object from the cache, asks the decision of its
kind (:mod:`bilateral.reconcile`) what should be true, and makes it true with the
:class:`~bilateral.engine.lookers.tools.Tools`. What it cannot do it raises; the controller backs off.
"""
