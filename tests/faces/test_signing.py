from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from faces.signing import headers, key_of, secret_of

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))


def messages() -> list[tuple[str, bytes]]:
    """A thousand message ids and JSON bodies with names in many scripts."""
    chance = random.Random(5)
    letters = 'aZ9 "\\\n\u0000éß中文😀ا'
    found = []
    for number in range(1000):
        name = "".join(chance.choices(letters, k=chance.randrange(40)))
        told = {"name": name, "distance": chance.random(), "timestamp": number, "box": [number] * chance.randrange(9)}
        found.append((f"msg_{number}", json.dumps(told, ensure_ascii=number % 2 == 0).encode()))
    return found


def accepted(secret: str, body: bytes, sent: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(body, sent)
    except WebhookVerificationError:
        return False
    return True


def test_a_thousand_messages_are_verified_and_none_that_was_changed() -> None:
    secret, now = secret_of(KEY), datetime.now(UTC)
    later = str(int(now.timestamp()) + 1)
    for message_id, body in messages():
        sent = headers(message_id, now, body, [KEY])
        assert accepted(secret, body, sent)
        assert not accepted(secret, body[:-1] + b" }", sent)
        assert not accepted(secret, body, sent | {"webhook-id": message_id + "0"})
        assert not accepted(secret, body, sent | {"webhook-timestamp": later})
        assert not accepted(secret_of(OTHER), body, sent)


def test_a_recorded_message_is_refused_later() -> None:
    sent = headers("msg_1", datetime.now(UTC) - timedelta(minutes=6), b"{}", [KEY])
    assert not accepted(secret_of(KEY), b"{}", sent)


def test_while_a_secret_is_exchanged_the_old_and_the_new_one_verify() -> None:
    sent = headers("msg_1", datetime.now(UTC), b"{}", [OTHER, KEY])
    assert accepted(secret_of(KEY), b"{}", sent)
    assert accepted(secret_of(OTHER), b"{}", sent)
    assert not accepted(secret_of(bytes(24)), b"{}", sent)


def test_the_signature_is_the_one_of_the_specifications_example() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent = headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), b'{"test": 2432232314}', [key]
    )
    assert sent == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("length", [24, 32, 64])
def test_a_secret_carries_its_key(length: int) -> None:
    key = bytes(range(length))
    assert key_of(secret_of(key)) == key


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "AAAA", secret_of(KEY).removeprefix("whsec_"), secret_of(KEY) + "!", secret_of(KEY)[:-1],
     "whsec_" + "QUFB" * 7, "whsec_" + "QUFB" * 22, "whsec_schlüssel"],
)  # fmt: skip
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^is not whsec_ and the base64 of 24 to 64 bytes$"):
        key_of(secret)


@pytest.mark.parametrize("length", [0, 23, 65])
def test_a_key_of_another_length_makes_no_secret(length: int) -> None:
    with pytest.raises(ValueError, match="24 to 64"):
        secret_of(bytes(length))
