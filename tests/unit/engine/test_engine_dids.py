"""The DID documents of our trust domains: computed from the key that speaks and the services of the spec."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bilateral.engine.dids import DidDocuments
from bilateral.exchange.errors import Refusal
from bilateral.protocol.keys import parse_public_key
from bilateral.protocol.reasons import Reason

from .conftest import FakeClock
from .memory import MemoryAPI, Replica

LOG = "https://log.org-a.example/v1/receipts"
STATUS = "https://passports.org-a.example"


def world(clock: FakeClock, did: dict[str, Any] | None = None) -> tuple[Replica, DidDocuments]:
    api = MemoryAPI()
    spec: dict[str, Any] = {"kernelId": "org-a-kernel"}
    if did is not None:
        spec["did"] = did
    api.add("trustdomains", {"metadata": {"name": "org-a"}, "spec": spec})
    replica = Replica(api, clock)
    return replica, DidDocuments(replica.views)


async def settle(replica: Replica, clock: FakeClock) -> None:
    for _ in range(3):
        clock.advance(1)
        await replica.settle()


async def test_the_document_is_of_the_key_that_speaks(clock: FakeClock) -> None:
    replica, dids = world(clock)
    with pytest.raises(Refusal) as caught:
        dids.did_document("org-a-kernel")
    assert caught.value.reason is Reason.NOT_FOUND
    replica.catch_up()
    with pytest.raises(Refusal) as caught:
        dids.did_document("org-a-kernel")
    assert (caught.value.reason, caught.value.retry_after) == (Reason.NOT_READY, 5)
    await settle(replica, clock)
    document = json.loads(dids.did_document("org-a-kernel"))
    assert document["id"] == replica.status("trustdomains", "org-a")["did"]
    assert (
        parse_public_key(document["id"]).multibase == document["verificationMethod"][0]["publicKeyMultibase"]
    )
    assert "service" not in document
    with pytest.raises(Refusal) as caught:
        dids.did_document("somebody")
    assert caught.value.reason is Reason.NOT_FOUND


async def test_the_services_are_those_of_the_spec_in_their_order(clock: FakeClock) -> None:
    replica, dids = world(clock, {"receiptLogUrls": [LOG, LOG + "/2"], "passportStatusUrls": [STATUS]})
    await settle(replica, clock)
    document = json.loads(dids.did_document("org-a-kernel"))
    did = document["id"]
    assert document["service"] == [
        {"id": f"{did}#receipt-log", "type": "ChioReceiptLogService", "serviceEndpoint": LOG},
        {"id": f"{did}#receipt-log-2", "type": "ChioReceiptLogService", "serviceEndpoint": LOG + "/2"},
        {"id": f"{did}#passport-status", "type": "ChioPassportStatusService", "serviceEndpoint": STATUS},
    ]


async def test_without_a_usable_key_there_is_no_document(clock: FakeClock) -> None:
    replica, dids = world(clock)
    await settle(replica, clock)
    secret = replica.api.objects["secrets", "org-a-signing-key"]
    secret["data"] = {"private.pem": base64.b64encode(b"spoilt").decode()}
    replica.api.add("secrets", secret)
    await settle(replica, clock)
    with pytest.raises(Refusal) as caught:
        dids.did_document("org-a-kernel")
    assert caught.value.reason is Reason.NOT_READY
