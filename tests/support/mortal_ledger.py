"""A process that records decisions until it is killed, or as many as it is told, and says what was recorded.

``python -m support.mortal_ledger URL NAME COUNT``: it says ``ready`` and waits for a line on standard input. Each
further line on standard output is the number and hash of one recorded decision, written after it was recorded; the
last line is ``done``.
"""

from __future__ import annotations

import asyncio
import sys

from bilateral.ledger.opening import open_ledger

AT_ONCE = 5


async def main(url: str, name: str, count: int) -> None:
    ledger = await open_ledger(url, lock_seconds=20)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for start in range(0, count, AT_ONCE):
        links = await asyncio.gather(
            *(
                ledger.record_decision({"from": name, "number": number}, {"id": f"{name}-{number}"})
                for number in range(start, min(start + AT_ONCE, count))
            )
        )
        sys.stdout.write("".join(f"{link.seq} {link.hash}\n" for link in links))
        sys.stdout.flush()
    await ledger.close()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
