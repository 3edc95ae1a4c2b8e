"""Runs `bilateral` until a chosen write, and then no further: mortal_operator.py COUNT WHEN operator …

The process ends as by `kill -9` at its COUNT-th write (of a Secret or a status): WHEN is `before` it is sent, or
`after` the API server has done it and before the operator has learnt of it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from bilateral.cli.main import main
from bilateral.engine.api import KubernetesAPI

COUNTED = frozenset({"POST", "PUT", "PATCH"})
LEFT_OUT = ("/leases", "/events")


def end_at(count: int, when: str) -> None:
    """Have this process end itself at a write."""
    send = KubernetesAPI._send
    left = count

    async def send_or_end(self: KubernetesAPI, method: str, path: str, *rest: Any, **named: Any) -> Any:
        nonlocal left
        if method not in COUNTED or any(part in path for part in LEFT_OUT):
            return await send(self, method, path, *rest, **named)
        left -= 1
        ends = left == 0
        if ends and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await send(self, method, path, *rest, **named)
        if ends:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    KubernetesAPI._send = send_or_end  # type: ignore[method-assign]  # the purpose


if __name__ == "__main__":
    end_at(int(sys.argv.pop(1)), sys.argv.pop(1))
    main()
