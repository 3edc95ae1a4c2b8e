"""Certificates: who may be believed, by which certificate, and how a server is told from another.

=========================================  ============================================================
names, hosts, services, slugs              what things are called: in certificates, in URLs, in files
fingerprints, tokens, encoding, pem        texts and bytes, read strictly
authority, profiles, servers, identities   certificates that we sign, and those that are provided
subjects, introductions, acceptance        an authority signs a party of another organisation
revocations                                and takes it back
verifiers                                  the one table: how a service's server is verified
entries, directory, listing                the files of ``certified``: written, and read
leaves                                     what is asked of a certificate that somebody else made
=========================================  ============================================================

Bytes, hosts and ``now`` go in; checked values come out or an error of :mod:`bilateral.pki.errors` is
raised. The package knows no Kubernetes, no network and no clock. Ed25519 keys of a handshake are not
here but in :mod:`bilateral.protocol.keys`.
"""
