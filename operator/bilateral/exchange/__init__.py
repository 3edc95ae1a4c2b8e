"""The federation endpoint (what partners reach) and the outbound client (how we reach them).

It keeps the limits, the TLS rules and the words of the refusals (``exchange.md``); what an
envelope means is decided elsewhere. It imports ``protocol`` and nothing of the engine.
"""
