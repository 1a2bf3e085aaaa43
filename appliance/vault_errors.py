"""What can go wrong with unlocking the vault and with its keys, each with a message to act on."""

from __future__ import annotations

from appliance.errors import FupanError, KeyholderDownError


class NoVaultError(KeyholderDownError):
    """An installed site whose vault was not made yet: whatever asks for a key waits for it."""

    status, code = 503, "no_vault"
    message = "This site has no vault yet. Make one on the server; see: fupan vault init --help"


class UnlockError(FupanError):
    """A key, a share or a PIN that does not open the vault. `problem` says why; the vault is as it was."""

    status, code = 422, "unlock"

    def __init__(self, message: str | None = None, /, problem: str = "", **params: object) -> None:
        super().__init__(message or _SAID.get(problem), problem=problem, **params)


class VaultChangeError(FupanError):
    """The vault's keys or slots cannot be changed in this way now."""

    status, code = 409, "vault_change"
    message = "The vault was not changed: %(why)s"


class DamagedRecordsError(VaultChangeError):
    """A change of keys does not end, since a damaged record's backup opens under the old key alone."""

    def __init__(self, count: int) -> None:
        super().__init__(
            why=f"{count} key records are damaged. Put them back (fupan vault restore-keys) or, where no "
            "backup has them, move their files away; the next unlock goes on"
        )


_SAID: dict[str, str] = {}
_SAID.update(
    {
        str(error.params["problem"]): error.message
        for error in (
            UnlockError(
                "The share was mistyped: its check does not fit. Compare it with the paper, group by group.",
                problem="mistyped",
            ),
            UnlockError(
                "This share is of a kind that only a newer Fupan knows. Nothing was changed.",
                problem="version",
            ),
            UnlockError("This share belongs to another vault.", problem="other_vault"),
            UnlockError(
                "This share belongs to an older set, which was replaced. Use the share of the newest set and "
                "destroy this one.",
                problem="old_set",
            ),
            UnlockError(
                "This share belongs to a set that is not in force yet. Use the share of the present set.",
                problem="pending_set",
            ),
            UnlockError("This vault never issued such a share.", problem="not_issued"),
            UnlockError(
                "This share was given already. The share of another custodian is needed.",
                problem="given_already",
            ),
            UnlockError(
                "Each share looks right, but together they do not give the key. All must be given again.",
                problem="wrong_key",
            ),
            UnlockError("Too few shares were given. Nothing was changed.", problem="too_few"),
            UnlockError(
                "Not every share of the new set was read back yet. The present set stays in force.",
                problem="unread",
            ),
            UnlockError(
                "Too many wrong tries. Wait %(seconds)s seconds; shares that were right are kept.",
                problem="too_many",
                seconds=0,
            ),
            UnlockError(
                "No shares are being collected now, or the time for them was over. What was given is "
                "forgotten. Begin again.",
                problem="no_ceremony",
            ),
            UnlockError(
                "What was sent was not encrypted for this keyholder, now. Load the page again.",
                problem="not_for_me",
            ),
            UnlockError("The key file %(path)s is missing or damaged.", problem="key_file", path=""),
            UnlockError(
                "The keyholder was given no credential named %(name)s. Add LoadCredentialEncrypted= to its "
                "unit and start it again; docs/keys.md shows how.",
                problem="credential",
                name="",
            ),
            UnlockError(
                "The key that was given is not the one of this slot, or the slot is damaged.",
                problem="wrong_slot_key",
            ),
            UnlockError("The vault has no slot of this kind. See: fupan vault slots list", problem="no_slot"),
            UnlockError(
                "No token is named: set token_module in the table [vault] of the settings.",
                problem="token_module",
            ),
            UnlockError(
                "The token %(label)s does not answer. Is it plugged in, and its driver running?",
                problem="token_gone",
                label="",
            ),
            UnlockError("The PIN is wrong. The token counts wrong PINs.", problem="wrong_pin"),
            UnlockError(
                "One more wrong PIN would lock the token, so none is tried. Prove the PIN with the token's "
                "own program first.",
                problem="last_pin_try",
            ),
            UnlockError("The token is locked after too many wrong PINs.", problem="pin_locked"),
            UnlockError(
                "The token %(label)s has no key named %(key)s.", problem="token_key", label="", key=""
            ),
            UnlockError(
                "The token's key does not open this slot. Is it the right token?", problem="token_wrong"
            ),
        )
    }
)
