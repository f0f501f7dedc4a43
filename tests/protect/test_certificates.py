"""Keys with certificates: signatures that verify, chains that lead to a root, and what is refused."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from trial_chain import ISSUING, KINDS, NOW, PASSPHRASE, SIGNING, TrialRoot, key_pem, pem, write_trial

from hanok.protect.certificates import (
    MOST_BYTES,
    PURPOSES,
    CertificateError,
    fingerprint,
    is_signature,
    is_trusted,
    name_of,
    needs_passphrase,
    read_certificates,
    read_credential,
)


def verify_as_cryptography_does(public: Any, signature: bytes, message: bytes, algorithm: str) -> None:
    """Raise InvalidSignature unless it fits; written from RFC 7518 and RFC 8037 alone."""
    digest = {"2": hashes.SHA256(), "3": hashes.SHA384(), "5": hashes.SHA512()}.get(algorithm[2])
    if algorithm == "EdDSA":
        public.verify(signature, message)
    elif algorithm == "PS256":
        assert digest is not None
        public.verify(signature, message, padding.PSS(padding.MGF1(digest), 32), digest)
    else:
        assert digest is not None
        half = len(signature) // 2
        first, second = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
        public.verify(encode_dss_signature(first, second), message, ec.ECDSA(digest))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_signed_verifies_and_nothing_else(kind: str, tmp_path: Path) -> None:
    key, chain, _ = write_trial(tmp_path, kind)
    credential = read_credential(key, chain, None, NOW)
    public = credential.chain[0].public_key()
    assert credential.algorithm == kind
    signature = credential.sign(b"message")
    verify_as_cryptography_does(public, signature, b"message", kind)
    assert is_signature(public, signature, b"message")
    assert not is_signature(public, signature, b"massage")
    assert not is_signature(public, signature + b"\0", b"message")
    assert not is_signature(public, b"", b"message")
    for place in range(0, len(signature), 7):
        wrong = bytearray(signature)
        wrong[place] ^= 4
        assert not is_signature(public, bytes(wrong), b"message")
    assert "PRIVATE" not in repr(credential)
    assert str(credential.key) not in repr(credential)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_leads_to_its_root_alone(kind: str) -> None:
    root, other, key = TrialRoot(kind), TrialRoot(kind, "Other root"), KINDS[kind]()
    namesake = TrialRoot(kind)
    leaf = root.issue(key)
    chain = (leaf, root.certificate)
    expected = kind != "EdDSA"
    assert is_trusted(chain, (root.certificate,), NOW) == expected
    assert is_trusted((leaf,), (other.certificate, root.certificate), NOW) == expected
    assert not is_trusted(chain, (other.certificate,), NOW)
    assert not is_trusted(chain, (namesake.certificate,), NOW)
    assert not is_trusted(chain, (root.certificate,), NOW + datetime.timedelta(days=31))


def test_a_signer_issues_for_nobody() -> None:
    root, signer, other = TrialRoot(), KINDS["ES256"](), KINDS["ES256"]()
    false = TrialRoot()
    false.key, false.name = signer, root.issue(signer).subject
    assert not is_trusted((false.issue(other), root.issue(signer)), (root.certificate,), NOW)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_purpose_of_c2pa_will_do(purpose: str, tmp_path: Path) -> None:
    key, chain, _ = write_trial(tmp_path, purposes=(x509.ObjectIdentifier(purpose),))
    signer = read_credential(key, chain, None, NOW).chain[0]
    assert name_of(signer) == "Trial signer, Trial"
    assert fingerprint(signer) == signer.fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"days": (-9, -2)}, "is valid from"),
        ({"days": (2, 9)}, "is valid from"),
        ({"is_authority": True, "usage": ISSUING}, "is of a CA"),
        ({"usage": None}, "has not the key usage digitalSignature"),
        ({"usage": ISSUING}, "has not the key usage digitalSignature"),
        ({"purposes": ()}, "one of: C2PA claim signing"),
        ({"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "one of: C2PA claim signing"),
        (
            {"purposes": (ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)},
            "one of: C2PA claim signing",
        ),
        ({"names_issuer": False}, "has no authority key identifier"),
    ],
)
def test_certificates_that_sign_nothing(wanted: dict[str, Any], words: str, tmp_path: Path) -> None:
    key, chain, _ = write_trial(tmp_path, **wanted)
    with pytest.raises(CertificateError, match=words):
        read_credential(key, chain, None, NOW)


def test_chains_that_are_none(tmp_path: Path) -> None:
    root, other, key = TrialRoot(), TrialRoot("ES256", "Other root"), KINDS["ES256"]()
    itself = TrialRoot()
    itself.key, itself.name = key, root.issue(key).subject
    place, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    place.write_bytes(key_pem(key))
    for content, words in (
        (pem(root.certificate), "is not that of the key"),
        (pem(root.issue(key), other.certificate), "'Other root, Trial' did not issue 'Trial signer, Trial'"),
        (pem(root.issue(key), *[root.certificate] * 10), "11 certificates; a chain has at most 10"),
        (pem(itself.issue(key)), "is signed by itself"),
        (b"", "no certificates in PEM"),
        (key_pem(key), "no certificates in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificates in PEM"),
    ):
        chain.write_bytes(content)
        with pytest.raises(CertificateError, match=words):
            read_credential(place, chain, None, NOW)
    with pytest.raises(CertificateError, match="cannot be read: No such file"):
        read_certificates(tmp_path / "none.pem")


def test_keys_that_are_none(tmp_path: Path) -> None:
    key, chain, _ = write_trial(tmp_path, passphrase=PASSPHRASE)
    assert needs_passphrase(key)
    assert read_credential(key, chain, PASSPHRASE, NOW).algorithm == "ES256"
    for passphrase in ("another one", "", None):
        with pytest.raises(CertificateError, match="no private key in PEM that can be read") as refused:
            read_credential(key, chain, passphrase, NOW)
        assert ("the passphrase is another one" in str(refused.value)) == (passphrase is not None)
        assert PASSPHRASE not in str(refused.value)
    for content, words in (
        (b"", "holds no private key"),
        (chain.read_bytes(), "holds no private key"),
        (b"x" * (MOST_BYTES + 1), "more than"),
    ):
        key.write_bytes(content)
        with pytest.raises(CertificateError, match=words):
            needs_passphrase(key)
    key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert not needs_passphrase(key)
    with pytest.raises(CertificateError, match="it is damaged"):
        read_credential(key, chain, None, NOW)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        dsa.generate_private_key(1024),
        ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=["RSA-1024", "DSA", "secp256k1"],
)
def test_keys_of_another_kind(key: Any, tmp_path: Path) -> None:
    place, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    place.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    chain.write_bytes(pem(TrialRoot().issue(KINDS["ES256"]())))
    with pytest.raises(CertificateError, match="allowed: ECDSA on P-256"):
        read_credential(place, chain, None, NOW)


def test_the_old_form_of_keys_is_read(tmp_path: Path) -> None:
    """PKCS 1 and SEC 1, as older OpenSSL writes them, with and without a passphrase."""
    root = TrialRoot()
    for kind in ("ES256", "PS256"):
        key = KINDS[kind]()
        place, chain = tmp_path / f"{kind}.pem", tmp_path / "chain.pem"
        place.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        chain.write_bytes(pem(root.issue(key, usage=SIGNING)))
        assert not needs_passphrase(place)
        assert read_credential(place, chain, None, NOW).algorithm == kind
    assert isinstance(KINDS["EdDSA"](), ed25519.Ed25519PrivateKey)
