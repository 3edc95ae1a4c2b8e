"""Calls a partner's service by its alias every ten seconds, and says what came of it."""

import logging
import time

import httpx

from bilateral.client import Client, ClientError

logging.basicConfig(level=logging.INFO, format="%(message)s")
log = logging.getLogger("client1")
log.setLevel(logging.INFO)
logging.getLogger("httpx").setLevel(logging.WARNING)

with Client("https://org2-api", timeout=10) as http:
    while True:
        try:
            answer = http.get("/")
            log.info("%s %s", answer.status_code, answer.text)
        except ClientError as error:  # about trust: says what was found, and whose move it is
            log.info("refused: %s: %s", error.reason.value, error)
        except httpx.HTTPError as error:  # about the network
            log.info("failed: %s", error)
        time.sleep(10)
