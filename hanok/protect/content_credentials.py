"""C2PA manifests in pictures, by the library of the Content Authenticity Initiative; never over a network.

The one door to the package `c2pa`. Its settings here fetch nothing: no remote manifest, no revocation list,
no time stamp; and no thumbnail is made, so that a manifest shows nothing that the picture does not.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanok.errors import HanokError
from hanok.protect._primitives import Encoding, MissingPackageError
from hanok.protect.certificates import Certificate, Credential

_SETTINGS: dict[str, Any] = {
    "verify": {
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
        "verify_trust": True,
        "verify_after_sign": True,
    },
    "builder": {"thumbnail": {"enabled": False}},
}
_PARENT = "parent"
_UNTRUSTED = "signingCredential.untrusted"


class ManifestError(HanokError):
    """A manifest that cannot be made, or cannot be read."""


@dataclass(frozen=True)
class Action:
    """What was done: C2PA's name for it, IPTC's URI of the digital source type or none, and by what."""

    name: str
    source: str = ""
    agent: str = ""


@dataclass(frozen=True)
class Claim:
    """What is to be signed of a picture: title, actions in order, and who makes the claim."""

    title: str
    actions: tuple[Action, ...]
    generator: str
    version: str


@dataclass(frozen=True)
class Manifest:
    """What a picture's manifest says, and what its validation found."""

    signer: str
    generator: str
    actions: tuple[Action, ...]
    failures: tuple[str, ...]
    """Codes and explanations of what is wrong, without the question of trust."""
    trusted: bool
    """Whether the signer's chain leads to a certificate that was given as trusted."""


def check_installed() -> None:
    """Say what to install where the library is missing or does not load."""
    _library()


def sign_picture(
    content: bytes, kind: str, claim: Claim, credential: Credential, parent: tuple[Path, str] | None = None
) -> bytes:
    """Return the picture with a manifest, validated as its readers will; `kind` is image/png or image/jpeg.

    A claim that begins with c2pa.opened names a parent. With `parent`, a file and its kind, the parent's own
    manifest goes along, its thumbnails too; without, nothing of it does. Signatures of curves and RSA have a
    random part, and so have the names of manifests: no two results are the same. Raises ManifestError.
    """
    library = _library()
    out = io.BytesIO()
    algorithm = "ED25519" if credential.algorithm == "EdDSA" else credential.algorithm
    try:
        signer = library.Signer.from_callback(
            credential.sign, library.C2paSigningAlg[algorithm], credential.chain_pem
        )
        with signer, _builder(library, claim, parent) as builder:
            builder.sign(signer, kind, io.BytesIO(content), out)
    except library.C2paError as error:
        raise ManifestError(f"{claim.title}: a C2PA manifest cannot be made: {_one_line(error)}") from None
    signed = out.getvalue()
    failures = read_manifest(signed, kind, (), claim.title).failures
    if failures:
        raise ManifestError(f"{claim.title}: C2PA refuses what was signed: {'; '.join(failures)}")
    return signed


def check_parent(claim: Claim, parent: tuple[Path, str]) -> None:
    """Refuse, before long work, a source picture whose own manifest cannot be carried along."""
    library = _library()
    try:
        _builder(library, claim, parent).close()
    except library.C2paError as error:
        raise ManifestError(
            f"{parent[0]}: its C2PA manifest cannot be read: {_one_line(error)}; give a copy without it"
        ) from None


def read_manifest(content: bytes, kind: str, anchors: Sequence[Certificate], where: str) -> Manifest:
    """Return what the manifest in a picture says, validated against the certificates that one trusts.

    Raises ManifestError where none can be read; that `content` has one, the caller knows.
    """
    library = _library()
    trust = "".join(each.public_bytes(Encoding.PEM).decode() for each in anchors)
    settings = {**_SETTINGS, **({"trust": {"trust_anchors": trust}} if trust else {})}
    try:
        with (
            library.Context.from_dict(settings) as context,
            library.Reader(kind, io.BytesIO(content), context=context) as reader,
        ):
            return _manifest(json.loads(reader.json()))
    except library.C2paError as error:
        raise ManifestError(f"{where}: its C2PA manifest is damaged: {_one_line(error)}") from None


def _builder(library: Any, claim: Claim, parent: tuple[Path, str] | None) -> Any:
    """A builder of the claim, with its parent where it has one."""
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": [_PARENT]}}
        if action.name == "c2pa.opened"
        else {
            "action": action.name,
            **({"digitalSourceType": action.source} if action.source else {}),
            **({"softwareAgent": {"name": action.agent}} if action.agent else {}),
        }
        for action in claim.actions
    ]
    content: dict[str, Any] = {
        "claim_generator_info": [{"name": claim.generator, "version": claim.version}],
        "title": claim.title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions, "allActionsIncluded": True}}
        ],
    }
    ingredient = {"title": "source picture", "relationship": "parentOf", "label": _PARENT}
    if parent is None and any(action.name == "c2pa.opened" for action in claim.actions):
        content["ingredients"] = [ingredient]
    builder = library.Builder(content, context=library.Context.from_dict(_SETTINGS))
    if parent is not None:
        try:
            with parent[0].open("rb") as file:
                builder.add_ingredient(ingredient, parent[1], file)
        except BaseException as error:
            builder.close()
            if isinstance(error, OSError):
                raise ManifestError(f"{parent[0]}: cannot be read: {error.strerror or error}") from None
            raise
    return builder


def _manifest(store: dict[str, Any]) -> Manifest:
    """What the library's report says of the active manifest and of those that it goes back to."""
    active = store["manifests"][store["active_manifest"]]
    signature = active.get("signature_info", {})
    names = (signature.get("common_name"), signature.get("issuer"))
    made_by = active.get("claim_generator_info") or [{}]
    results = store.get("validation_results", {})
    found = list(results.get("activeManifest", {}).get("failure", []))
    for delta in results.get("ingredientDeltas") or []:
        found += delta.get("validationDeltas", {}).get("failure", [])
    failures = [f"{each.get('code', '')} ({each.get('explanation', '')})" for each in found]
    return Manifest(
        ", ".join(dict.fromkeys(str(name) for name in names if name)) or "nobody",
        " ".join(str(made_by[0].get(word, "")) for word in ("name", "version")).strip() or "unknown",
        tuple(_actions(active)),
        tuple(dict.fromkeys(text for text in failures if not text.startswith(_UNTRUSTED))),
        store.get("validation_state") == "Trusted",
    )


def _actions(manifest: dict[str, Any]) -> list[Action]:
    """The actions of a manifest, as far as they are written as they should be."""
    found = []
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            for action in assertion.get("data", {}).get("actions", []):
                agent = action.get("softwareAgent") or ""
                name = agent.get("name", "") if isinstance(agent, dict) else agent
                found.append(
                    Action(str(action.get("action", "")), str(action.get("digitalSourceType", "")), str(name))
                )
    return found


def _library() -> Any:
    """The package, loaded from the root of the file system, where only the system writes.

    For it looks for its native part in the working folder first, and what lies there may be anybody's.
    """
    specification = importlib.util.find_spec("c2pa")
    if specification is None or specification.origin is None:
        raise MissingPackageError(
            "C2PA manifests need the package c2pa-python: pip install 'hanok[c2pa]'; "
            "without it pictures are marked but not signed"
        )
    try:
        with contextlib.chdir(Path(specification.origin).absolute().anchor):
            import c2pa
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise MissingPackageError(
            f"the package c2pa-python does not load here: {_one_line(error)}; "
            "pip install --force-reinstall 'hanok[c2pa]'"
        ) from None
    return c2pa


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
