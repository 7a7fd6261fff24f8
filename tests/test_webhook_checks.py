"""The checks that docs/webhooks.md shows in Go and for a shell, taken from its text and run on a real delivery."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from accounts.models import User
from generations import services, webhooks
from generations.models import WebhookEndpoint
from tests.receivers import Listen, work_off

pytestmark = pytest.mark.django_db

DOCUMENT = Path(__file__).parent.parent / "docs" / "webhooks.md"
# Of several in one language the last counts: the others only register.
SHOWN = dict(re.findall(r"```(\w+)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL))
GO = """package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

%s
func main() {
	header := http.Header{}
	header.Set("webhook-id", os.Getenv("WEBHOOK_ID"))
	header.Set("webhook-timestamp", os.Getenv("WEBHOOK_TIMESTAMP"))
	header.Set("webhook-signature", os.Getenv("WEBHOOK_SIGNATURE"))
	body, _ := io.ReadAll(os.Stdin)
	fmt.Print(genuine(header, body, os.Getenv("SECRET")))
}
"""


class Sent(NamedTuple):
    """A call as a receiver hears it, and the secret that it keeps."""

    body: bytes
    id: str
    timestamp: str
    signature: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "SECRET": self.secret,
            "WEBHOOK_ID": self.id,
            "WEBHOOK_TIMESTAMP": self.timestamp,
            "WEBHOOK_SIGNATURE": self.signature,
        }


@pytest.fixture
def sent(alice: User, listen: Listen) -> Sent:
    """A test call, while the secret before its own one still lives."""
    receiver = listen(alice)
    endpoint = services.rotate_webhook(WebhookEndpoint.objects.get(), keep_old=True)
    services.send_test(endpoint)
    work_off()
    (heard,) = receiver.heard
    said = (heard.headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    return Sent(heard.body, *said, endpoint.secret)


def judge_all(genuine: Callable[[Sent], bool], sent: Sent) -> None:
    first, second = sent.signature.split()
    assert genuine(sent)
    assert genuine(sent._replace(signature=f"{second} {first}"))
    assert not genuine(sent._replace(body=sent.body + b" "))
    assert not genuine(sent._replace(id="msg_another"))
    assert not genuine(sent._replace(timestamp=str(int(sent.timestamp) - 1)))
    assert not genuine(sent._replace(secret="whsec_" + "A" * 32))
    assert not genuine(sent._replace(signature=""))


@pytest.mark.client("go")
def test_the_check_in_go_takes_what_is_ours_and_nothing_else(sent: Sent, tmp_path: Path) -> None:
    """Takes as long as Go's compiler."""
    source, program = tmp_path / "check.go", tmp_path / "check"
    source.write_text(GO % SHOWN["go"])
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": ""}
    subprocess.run(["go", "build", "-o", program, source], check=True, timeout=300, env=environment)

    def genuine(call: Sent) -> bool:
        done = subprocess.run(
            [program], input=call.body, env=call.environment, capture_output=True, check=True, timeout=60
        )
        return done.stdout == b"true"

    judge_all(genuine, sent)
    for age, wanted in ((-290, True), (-310, False), (310, False)):
        at = int(time.time()) + age
        signature = webhooks.signature([sent.secret], sent.id, at, sent.body)
        assert genuine(sent._replace(timestamp=str(at), signature=signature)) == wanted, age


@pytest.mark.client("openssl")
def test_the_check_of_a_shell_makes_one_of_the_signatures(sent: Sent, tmp_path: Path) -> None:
    def genuine(call: Sent) -> bool:
        (tmp_path / "body").write_bytes(call.body)
        done = subprocess.run(
            ["sh", "-eu", "-c", SHOWN["sh"]],
            cwd=tmp_path,
            env=call.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.strip() in call.signature.split()

    judge_all(genuine, sent)
