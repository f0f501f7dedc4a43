"""Detached signatures: verified with cryptography alone from RFC 7515, and every change of them noticed."""

from __future__ import annotations

import datetime
import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from test_certificates import verify_as_cryptography_does
from trial_chain import KINDS, NOW, TrialRoot, key_pem, pem, write_trial

from hanok.protect.certificates import Credential, read_credential
from hanok.protect.detached import DetachedSignatureError, sign_detached, verify_detached

PAYLOAD = '{"file":"글.txt"}'.encode()
PURPOSE = "trial+jws"


def made(kind: str = "ES256") -> Credential:
    root, key = TrialRoot(kind), KINDS[kind]()
    return Credential((root.issue(key), root.certificate), key)


CREDENTIAL = made()
SIGNED = sign_detached(CREDENTIAL, PAYLOAD, PURPOSE)


def from_base64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_jws(kind: str) -> None:
    text = sign_detached(made(kind), PAYLOAD, PURPOSE)
    head, nothing, signature = text.split(".")
    assert nothing == ""
    header = json.loads(from_base64url(head))
    assert (header["alg"], header["typ"]) == (kind, PURPOSE)
    signer = x509.load_der_x509_certificate(b64decode(header["x5c"][0]))
    signed = f"{head}.{to_base64url(PAYLOAD)}".encode()
    verify_as_cryptography_does(signer.public_key(), from_base64url(signature), signed, kind)
    verified = verify_detached(text, PAYLOAD, PURPOSE, NOW)
    assert (verified.fits, verified.flaw, verified.chain[0]) == (True, "", signer)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40))
def test_it_is_of_its_payload_alone(payload: bytes) -> None:
    assert verify_detached(SIGNED, payload, PURPOSE, NOW).fits == (payload == PAYLOAD)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SIGNED) - 1), st.characters(min_codepoint=32, max_codepoint=126))
def test_every_change_is_noticed(place: int, letter: str) -> None:
    changed = SIGNED[:place] + letter + SIGNED[place + 1 :]
    try:
        fits = verify_detached(changed, PAYLOAD, PURPOSE, NOW).fits
    except DetachedSignatureError:
        fits = False
    assert fits == (changed == SIGNED)


def altered(**entries: Any) -> str:
    head, _, signature = SIGNED.split(".")
    header = {**json.loads(from_base64url(head)), **entries}
    return f"{to_base64url(json.dumps(header).encode())}..{signature}"


def certificate(**wanted: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return b64encode(TrialRoot().issue(KINDS["ES384"](), **wanted).public_bytes(Encoding.DER)).decode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no detached JWS"),
        (SIGNED.replace("..", ".e30."), "no detached JWS"),
        ("x" * (1 << 18), "no detached JWS"),
        ("!!..AA", "no base64url"),
        ("é..AA", "no base64url"),
        (f"{to_base64url(b'{')}..AA", "header is no JSON"),
        (f"{to_base64url(b'[' * 100_000)}..AA", "header is no JSON|no detached JWS"),
        (f"{to_base64url(b'[]')}..AA", "header is no object"),
        (altered(typ="other"), "none for 'trial[+]jws'"),
        (altered(crit=["x"]), "none for"),
        (altered(b64=False), "none for"),
        (altered(x5c=None), "no chain of 1 to 10"),
        (altered(x5c=[]), "no chain of 1 to 10"),
        (altered(x5c=["AAAA"] * 11), "no chain of 1 to 10"),
        (altered(x5c=["AAAA"]), "certificates cannot be read"),
        (altered(x5c=[7]), "certificates cannot be read"),
        (altered(x5c=[certificate()]), "another algorithm than its key has, ES384"),
        (altered(alg="none"), "another algorithm than its key has, ES256"),
        (altered(alg="HS256"), "another algorithm than its key has, ES256"),
    ],
)
def test_what_is_no_signature(text: str, words: str) -> None:
    with pytest.raises(DetachedSignatureError, match=words):
        verify_detached(text, PAYLOAD, PURPOSE, NOW)


def test_another_signers_certificate_does_not_fit() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    other = TrialRoot().issue(KINDS["ES256"]())
    text = altered(x5c=[b64encode(other.public_bytes(Encoding.DER)).decode()])
    assert not verify_detached(text, PAYLOAD, PURPOSE, NOW).fits


def test_a_certificate_that_has_run_out_is_told(tmp_path: Path) -> None:
    verified = verify_detached(SIGNED, PAYLOAD, PURPOSE, NOW + datetime.timedelta(days=40))
    assert verified.fits
    assert "is valid from" in verified.flaw
    key, chain, _ = write_trial(tmp_path)
    assert key.read_bytes() != key_pem(CREDENTIAL.key)
    assert pem(*read_credential(key, chain, None, NOW).chain) == chain.read_bytes()


def test_a_key_of_another_kind_in_the_chain() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding

    weak = TrialRoot().issue(rsa.generate_private_key(65537, 1024))
    text = altered(x5c=[b64encode(weak.public_bytes(Encoding.DER)).decode()])
    with pytest.raises(DetachedSignatureError, match="a key of another kind"):
        verify_detached(text, PAYLOAD, PURPOSE, NOW)
