"""Certificates: names, authorities, server certificates, fingerprints and token hashes.

Bytes, hosts and ``now`` go in; checked values come out or an error of :mod:`bilateral.pki.errors` is
raised. The package knows no Kubernetes, no network and no clock. Ed25519 keys of a handshake are not
here but in :mod:`bilateral.protocol.keys`.
"""
