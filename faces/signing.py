"""Signatures of webhooks, by the Standard Webhooks specification 1.0 (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

PREFIX = "whsec_"
FEWEST_KEY_BYTES = 24
MOST_KEY_BYTES = 64
"""The specification's bounds of a symmetric secret."""


def secret_of(key: bytes) -> str:
    """A key of 24 to 64 random bytes as receivers are given it: `whsec_` and its base64."""
    if not FEWEST_KEY_BYTES <= len(key) <= MOST_KEY_BYTES:
        raise ValueError(f"is not {FEWEST_KEY_BYTES} to {MOST_KEY_BYTES} bytes long")
    return PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret; raises ValueError, which never repeats what was written."""
    wrong = ValueError(f"is not {PREFIX} and the base64 of {FEWEST_KEY_BYTES} to {MOST_KEY_BYTES} bytes")
    if not secret.startswith(PREFIX):
        raise wrong
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None
    if not FEWEST_KEY_BYTES <= len(key) <= MOST_KEY_BYTES:
        raise wrong
    return key


def headers(message_id: str, sent_at: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The three headers of a message, with a signature by each key (several while a secret is exchanged).

    `message_id` stays the same through all attempts, and `sent_at` (aware) is the time of this one. Receivers refuse
    a message whose time is off by more than their tolerance, so that a recorded one cannot be played back.
    """
    timestamp = str(int(sent_at.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(key, signed) for key in keys),
    }


def _signature(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
