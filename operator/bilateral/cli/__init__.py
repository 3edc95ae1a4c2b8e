"""The command ``bilateral``, also installed as ``kubectl bilateral``.

Commands talk to a Kubernetes API server through :mod:`bilateral.cli.cluster` and to nobody else; what
they decide is done by pure functions in :mod:`bilateral.protocol`, :mod:`bilateral.pki` and here.
"""
