"""Labels, annotations and names that the operator sets or reads on Kubernetes objects."""

from __future__ import annotations

GROUP = "bilateral.dev"
"""The API group, and the prefix of every label and annotation of ours."""

VERSION = "v1alpha1"
"""The API version that is served and stored."""

API_VERSION = f"{GROUP}/{VERSION}"
"""``apiVersion`` of every object of ours."""

FIELD_MANAGER = "bilateral"
"""The one field manager of server-side apply."""

SECRET_LABEL = f"{GROUP}/secret"
"""Secrets are watched only with this label; any other Secret is invisible to the operator."""

SECRET_OWNED = "owned"  # noqa: S105 - a label's value
"""Value of `SECRET_LABEL` on Secrets that the operator made."""

SECRET_REFERENCED = "referenced"  # noqa: S105 - a label's value
"""Value of `SECRET_LABEL` by which a person lets the operator read a Secret of theirs."""

OWNER_KIND_LABEL = f"{GROUP}/owner-kind"
"""On a Secret of ours: the kind of the object that it belongs to."""

ORIGIN_LABEL = f"{GROUP}/origin"
"""On an Introduction that issues: how it came about."""

ORIGIN_ONLINE = "online"
"""Value of `ORIGIN_LABEL`: a partner's operator asked for it, and fetches what was signed."""

REQUEST_LABEL = f"{GROUP}/request"
"""On an Introduction that a partner's operator asked for: the id that the request was answered with."""

REQUESTER_LABEL = f"{GROUP}/requester"
"""On an Introduction that a partner's operator asked for: the UID of the FederationPeer that asked."""

APPROVED_BY_LABEL = f"{GROUP}/approved-by"
"""On an Introduction that issues: whose approval it has, where that was no person's."""

APPROVED_BY_POLICY = "policy"
"""Value of `APPROVED_BY_LABEL`: the FederationPolicy for the peer approved it, and must go on doing so."""

RECONCILE_NOW = f"{GROUP}/reconcile-now"
"""Annotation: a new value asks for a look now; it is echoed in ``status.reconciledNow`` when done."""

RECONCILE_NOW_MAX_LENGTH = 253
"""How much of the annotation's value is echoed."""

ENVELOPE_ANNOTATION = f"{GROUP}/handshake-envelope"
"""Annotation of a FederationPeer: a partner's handshake envelope that came as a file."""

POLICY_DOCUMENT = f"{GROUP}/policy-document"
"""Annotation of a FederationPolicy: the published document that it was made from, as JSON."""
