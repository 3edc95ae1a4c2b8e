"""Makes decisions true: cache, queue, workers, writer, election.

The engine holds what Kubernetes says (cache), decides when to look at which object (queue), asks
:mod:`bilateral.reconcile` what should be true, and writes the difference. It makes no decision of
its own about trust.
"""
