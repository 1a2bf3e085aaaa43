"""Talks PKCS#11, in the ceremony's own process alone: a vendor's library never is in the keyholder's memory.

The slot key is wrapped by RSA-OAEP under a key pair whose private half was made on the token and never leaves
it. RSA decryption is what all of them do: smart cards, USB keys and network HSMs; AES key wrap with an
extractable result, or GCM with an own nonce, many refuse. Wrapping needs the public half alone.
OAEP uses SHA-256 where the token does it, else SHA-1 (as SoftHSM does), whose collisions do not matter there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appliance.vault_errors import UnlockError
from storage.vault import TokenKey

HASHES = ("sha256", "sha1")


@dataclass(frozen=True)
class Place:
    """A token and a key pair on it, by their labels."""

    label: str
    key: str


def wrap(module: str, place: Place, pin: str, slot_key: bytes) -> TokenKey:
    """Wrap a new slot key under the token's key, and prove that the token unwraps it. Raises UnlockError."""
    from pkcs11 import ObjectClass

    with _session(module, place.label, pin) as (token, session):
        public = _key(session, place, ObjectClass.PUBLIC_KEY)
        private = _key(session, place, ObjectClass.PRIVATE_KEY)
        for name in HASHES:
            with contextlib.suppress(Exception):  # a token says in many ways that it does not do a mechanism
                wrapped = public.encrypt(slot_key, **_oaep(name))
                if private.decrypt(wrapped, **_oaep(name)) == slot_key:
                    serial = bytes(token.serial).decode("ascii", "replace").strip()
                    return TokenKey(place.label, serial, place.key, name, wrapped)
    raise UnlockError(problem="token_wrong")


def unwrap(module: str, kept: TokenKey, pin: str) -> bytes:
    """The slot key. Raises UnlockError: token_module, token_gone, wrong_pin, last_pin_try, pin_locked,
    token_key, token_wrong."""
    from pkcs11 import ObjectClass, exceptions

    with _session(module, kept.label, pin) as (_, session):
        private = _key(session, Place(kept.label, kept.key), ObjectClass.PRIVATE_KEY)
        try:
            return bytes(private.decrypt(kept.wrapped, **_oaep(kept.hash)))
        except exceptions.DeviceRemoved:
            raise
        except exceptions.PKCS11Error as error:
            raise UnlockError(problem="token_wrong") from error


@contextlib.contextmanager
def _session(module: str, label: str, pin: str) -> Iterator[tuple[Any, Any]]:
    import pkcs11
    from pkcs11 import TokenFlag, exceptions

    if not module:
        raise UnlockError(problem="token_module")
    try:
        token = pkcs11.lib(module).get_token(token_label=label)
    except (exceptions.PKCS11Error, RuntimeError, OSError) as error:
        raise UnlockError(problem="token_gone", label=label) from error
    if TokenFlag.USER_PIN_LOCKED & token.flags:
        raise UnlockError(problem="pin_locked")
    # before the token locks itself for good
    if TokenFlag.USER_PIN_FINAL_TRY & token.flags:
        raise UnlockError(problem="last_pin_try")
    try:
        session = token.open(user_pin=pin)
    except exceptions.PinLocked as error:
        raise UnlockError(problem="pin_locked") from error
    except (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange) as error:
        raise UnlockError(problem="wrong_pin") from error
    except exceptions.PKCS11Error as error:
        raise UnlockError(problem="token_gone", label=label) from error
    try:
        yield token, session
    except exceptions.DeviceRemoved as error:
        raise UnlockError(problem="token_gone", label=label) from error
    finally:
        with contextlib.suppress(exceptions.PKCS11Error):
            session.close()


def _key(session: Any, place: Place, kind: Any) -> Any:
    from pkcs11 import exceptions

    try:
        return session.get_key(label=place.key, object_class=kind)
    except exceptions.PKCS11Error as error:
        raise UnlockError(problem="token_key", label=place.label, key=place.key) from error


def _oaep(name: str) -> dict[str, Any]:
    from pkcs11 import MGF, Mechanism

    hashed, mask = (Mechanism.SHA256, MGF.SHA256) if name == "sha256" else (Mechanism.SHA_1, MGF.SHA1)
    return {"mechanism": Mechanism.RSA_PKCS_OAEP, "mechanism_param": (hashed, mask, None)}
