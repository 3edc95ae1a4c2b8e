"""A person approves what a partner's operator asked for, with the command line and that person's own rights."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bilateral.exchange.paths import INTRODUCTIONS_PATH
from bilateral.pki.names import Subject
from bilateral.pki.profiles import key_fingerprint
from bilateral.pki.requests import build_request
from bilateral.protocol.introduction_request import Claims, build_introduction_request
from cluster.person import Person
from cluster.rights import is_allowed
from cluster.scene import INTRODUCTIONS
from cluster.stage import Stage, open_stage
from support.caller import Caller
from support.waiting import wait_for
from testbed.cluster import Cluster

ROLES = {"editor": "edit", "approver": "admin"}
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(cluster, tmp_path_factory.mktemp("approval")) as stage:
        stage.ready("org-b")
        namespace = stage.scene.namespace
        for name, role in ROLES.items():
            cluster.kubectl("create", "serviceaccount", name, "-n", namespace)
            cluster.kubectl(
                "create", "rolebinding", name, f"--clusterrole={role}", f"--serviceaccount={namespace}:{name}",
                "-n", namespace,
            )  # fmt: skip
        user = f"system:serviceaccount:{namespace}:approver"
        allowed = partial(is_allowed, cluster, resource="introductions.bilateral.dev", namespace=namespace)
        wait_for(lambda: allowed(user, "approve"), "the aggregated roles")
        yield stage


def person(stage: Stage, name: str) -> Person:
    scene = stage.scene
    return Person(
        scene.cluster, scene.namespace, scene.cluster.service_account_kubeconfig(scene.namespace, name)
    )


def asked(stage: Stage, name: str) -> str:
    """Have the partner's operator ask for a client of theirs; the name of what waits."""
    body = build_introduction_request(
        Claims(stage.scene.kernel("org-b"), stage.us, int(time.time()), str(uuid.uuid4())),
        csr=build_request(Subject(common_name=name, organization="Org B"), KEY),
        services=(),
        validity_seconds=3600,
        key=stage.scene.partner("org-b").key,
    )
    assert Caller(stage.operator.port).post(body, path=INTRODUCTIONS_PATH).status == 202
    found = [each["metadata"]["name"] for each in stage.scene.objects(INTRODUCTIONS)]
    (made,) = (each for each in found if each.startswith(f"org-b-{name}-"))
    return str(made)


def approval(stage: Stage, name: str) -> str:
    return str(stage.scene.get(INTRODUCTIONS, name)["spec"]["issue"]["approval"])


def test_who_may_approve_sees_what_it_is_and_has_it_signed(stage: Stage) -> None:
    name = asked(stage, "client1")
    done = person(stage, "approver").run("approve", name, stdin="y\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"introduction/{name} is signed. Introduced until ")
    assert "subject       CN=client1,O=Org B" in done.stderr
    assert key_fingerprint(KEY.public_key()) in done.stderr
    assert stage.scene.get(INTRODUCTIONS, name)["status"]["serial"]
    again = person(stage, "approver").run("approve", name)
    assert (again.returncode, "approved already" in again.stderr) == (0, True)


def test_who_may_only_edit_is_told_which_verb_is_missing_and_may_still_deny(stage: Stage) -> None:
    name = asked(stage, "client2")
    done = person(stage, "editor").run("approve", name, "--yes")
    assert done.returncode == 3
    assert "it needs the verbs patch and approve on introductions.bilateral.dev" in done.stderr
    assert approval(stage, name) == "Pending"
    assert person(stage, "editor").ok("deny", name, "--yes") == f"introduction/{name} is denied.\n"
    assert approval(stage, name) == "Denied"
    taken_back = person(stage, "editor").run("approve", name, "--yes")
    assert taken_back.returncode == 3


def test_without_an_answer_nothing_is_decided(stage: Stage) -> None:
    name = asked(stage, "client3")
    assert person(stage, "approver").run("approve", name).returncode == 1
    assert approval(stage, name) == "Pending"
