"""What goes over the wire: bytes and ``now`` in, verified values out, or an error raised.

No Kubernetes, no network, no clock and no asyncio below this package.
"""
