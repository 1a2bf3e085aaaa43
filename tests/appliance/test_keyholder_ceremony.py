"""Ceremonies over the keyholder's socket: m of n people, each alone, make, unlock and change a vault."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, text

from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import AuditUnavailableError, FupanError, KeyRefusedError
from appliance.keyholder import ceremony as ceremonies
from appliance.keyholder import orders, vault_file
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from appliance.keyholder.vault_client import VaultKeyholder, encrypted
from appliance.tables import audit_event
from appliance.vault_errors import NoVaultError, UnlockError, VaultChangeError
from storage.vault import OneTimePair, handover_info, seal_to, split_key
from tests.support import custodians
from tests.support.custodians import ME, activate, give, give_all, init, reshare, unlock
from tests.support.keyholder import journal_lines, running_keyholder


@pytest.fixture
def site(settings: Settings) -> Iterator[Settings]:
    """An installed site whose keyholder serves and has no vault yet."""
    made = custodians.installed(settings)
    with running_keyholder(made):
        yield made


def events(settings: Settings) -> list[dict[str, Any]]:
    with transaction("auditor", settings) as tx:
        bodies = tx.scalars(
            select(audit_event.c.body).where(audit_event.c.object_type == "vault").order_by(audit_event.c.seq)
        )
        return [json.loads(body)["event"] for body in bodies]


def problem_of(error: pytest.ExceptionInfo[UnlockError]) -> object:
    return error.value.params["problem"]


def test_a_vault_is_made_locked_and_unlocked_by_two_of_three(site: Settings) -> None:
    with pytest.raises(NoVaultError):
        VaultKeyholder(site).vault()
    shares = init(site)
    keyholder = VaultKeyholder(site)
    assert not keyholder.vault().locked
    orders.lock(site, ME)
    assert keyholder.vault().locked
    begun = keyholder.begin("unlock", "shares")
    assert (begun.needed, begun.count, begun.given, begun.complete) == (2, 3, (), False)
    assert give(site, begun, shares[2].lower()).given == (3,)
    with pytest.raises(UnlockError) as caught:
        orders.unlock(site, ME, "shares")
    assert problem_of(caught) == "too_few"
    assert keyholder.vault().locked
    assert give(site, begun, shares[0]).complete
    assert keyholder.vault().locked  # giving opens nothing; the order does, once it is on the log
    orders.unlock(site, ME, "shares")
    assert not keyholder.vault().locked
    assert keyholder.vault().ceremonies == ()
    told = [
        (event["action"], event["outcome"], event.get("details", {}).get("index")) for event in events(site)
    ]
    assert told == [
        ("vault:init", "ok", None),
        *(("vault:share", "ok", index) for index in (1, 2, 3)),
        ("vault:activate-shares", "ok", None),
        ("vault:lock", "ok", None),
        ("vault:share", "ok", 3),
        ("vault:unlock", "ok", None),
        ("vault:unlock", "failed", None),
        ("vault:share", "ok", 1),
        ("vault:unlock", "ok", None),
    ]


def test_each_wrong_share_is_named_recorded_and_leaves_the_right_ones(site: Settings) -> None:
    shares = init(site)
    newer = reshare(site)
    orders.lock(site, ME)
    vault = VaultKeyholder(site).vault().vault_id
    begun = give_all(site, newer[:1])
    stranger = split_key(uuid.uuid4(), 2, 2, 3, os.urandom(32))[0].text()
    never = split_key(vault, 2, 2, 3, os.urandom(32))[1].text()
    wrong = {
        "mistyped": newer[1][:-2] + "00",
        "given_already": newer[0],
        "other_vault": stranger,
        "old_set": shares[1],
        "not_issued": never,
    }
    for kind, share in wrong.items():
        with pytest.raises(UnlockError) as caught:
            give(site, begun, share)
        assert problem_of(caught) == kind
    assert VaultKeyholder(site).begin("unlock", "shares").given == (1,)
    denied = [event for event in events(site) if event["outcome"] == "denied"]
    assert [event["reason"] for event in denied] == list(wrong)
    journal = [json.loads(line) for line in journal_lines(site)]
    assert [entry["refused"] for entry in journal if "refused" in entry] == list(wrong)
    unlock(site, newer[1:2])
    said = b"".join(journal_lines(site)) + json.dumps(events(site)).encode()
    for share in (*newer, *shares):
        assert share[6:].encode() not in said


def test_a_share_that_is_not_on_the_log_unlocks_nothing(site: Settings) -> None:
    shares = init(site)
    orders.lock(site, ME)
    keyholder = VaultKeyholder(site)
    vault, begun = keyholder.vault().vault_id, give_all(site, shares[:1])
    keyholder.give(begun.id, encrypted(vault, begun, shares[1]), "console")  # past the log
    with pytest.raises(KeyRefusedError):
        orders.unlock(site, ME, "shares")
    assert keyholder.vault().locked


def test_without_the_log_no_share_and_no_unlock(site: Settings) -> None:
    shares = init(site)
    orders.lock(site, ME)
    begun = give_all(site, shares[:1])
    with transaction("owner", site) as tx:
        tx.execute(text("REVOKE EXECUTE ON FUNCTION audit_append(text) FROM fupan_staff"))
    for act in (lambda: give(site, begun, shares[1]), lambda: orders.unlock(site, ME)):
        with pytest.raises(AuditUnavailableError):
            act()
    with transaction("owner", site) as tx:
        tx.execute(text("GRANT EXECUTE ON FUNCTION audit_append(text) TO fupan_staff"))
    assert VaultKeyholder(site).vault().locked


def test_too_many_wrong_shares_have_to_wait_where_they_came_from(site: Settings) -> None:
    shares = init(site)
    orders.lock(site, ME)
    keyholder = VaultKeyholder(site)
    vault, begun = keyholder.vault().vault_id, keyholder.begin("unlock", "shares")
    for _ in range(ceremonies.WRONG_AT_ONCE):
        with pytest.raises(UnlockError, match="mistyped"):
            keyholder.give(begun.id, encrypted(vault, begun, "nonsense"), "page")
    with pytest.raises(UnlockError, match="Wait") as caught:
        keyholder.give(begun.id, encrypted(vault, begun, shares[0]), "page")
    assert 0 < int(str(caught.value.params["seconds"])) <= ceremonies.SECONDS_FOR_ONE_MORE + 1
    unlock(site, shares[:2])  # the console is not kept out


def test_what_is_encrypted_to_another_key_is_not_taken(site: Settings) -> None:
    shares = init(site)
    orders.lock(site, ME)
    keyholder = VaultKeyholder(site)
    vault, begun = keyholder.vault().vault_id, keyholder.begin("unlock", "shares")
    for sealed in (
        b"",
        b"x" * 100,
        b"x" * 5000,
        seal_to(OneTimePair().public, handover_info(vault, begun.id), shares[0].encode()),
        seal_to(begun.public, handover_info(vault, uuid.uuid4()), shares[0].encode()),
    ):
        with pytest.raises(UnlockError) as caught:
            keyholder.give(begun.id, sealed, "credential")
        assert problem_of(caught) == "not_for_me"


def test_a_ceremony_is_forgotten_after_its_time_and_on_request(
    site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = init(site)
    orders.lock(site, ME)
    keyholder = VaultKeyholder(site)
    first = give_all(site, shares[:1])
    keyholder.cancel(first.id)
    with pytest.raises(UnlockError, match="Begin again"):
        give(site, first, shares[1])
    monkeypatch.setattr(ceremonies, "LIFETIME_SECONDS", -1.0)
    over = keyholder.begin("unlock", "shares")
    assert keyholder.vault().ceremonies == ()
    with pytest.raises(UnlockError, match="Begin again"):
        give(site, over, shares[1])
    monkeypatch.undo()
    assert keyholder.begin("unlock", "shares").given == ()


def test_several_custodians_join_one_ceremony_and_a_lock_ends_it(site: Settings) -> None:
    shares = init(site)
    orders.lock(site, ME)
    keyholder = VaultKeyholder(site)
    first, second = keyholder.begin("unlock", "shares"), keyholder.begin("unlock", "shares")
    assert first.id == second.id
    give(site, first, shares[0])
    orders.lock(site, ME)
    with pytest.raises(UnlockError, match="Begin again"):
        give(site, second, shares[1])


# A new set -------------------------------------------------------------------------------------------


def test_the_old_set_works_until_each_new_share_was_read_back(site: Settings) -> None:
    old = init(site)
    keyholder = VaultKeyholder(site)
    vault = keyholder.vault().vault_id
    begun = orders.carry_out(
        site, orders.Action.VAULT_RESHARE, ME, lambda event: keyholder.reshare(event, 3, 4), needed=3, count=4
    )
    new = [keyholder.show(vault, begun.id, index) for index in range(1, 5)]
    pending = keyholder.vault().pending
    assert pending is not None
    assert (pending.kind, pending.set, pending.needed, pending.count) == ("reshare", 2, 3, 4)
    for share in new[:3]:
        give(site, begun, share)
    with pytest.raises(UnlockError) as caught:
        activate(site, vault, 2)
    assert problem_of(caught) == "unread"
    orders.lock(site, ME)  # and forget what was read back
    begun_unlock = keyholder.begin("unlock", "shares")
    with pytest.raises(UnlockError) as caught:
        give(site, begun_unlock, new[0])
    assert problem_of(caught) == "pending_set"
    unlock(site, old[:2])
    again = keyholder.begin("read_back", "shares")
    assert again.needed == 4
    for share in new:
        again = give(site, again, share)
    assert again.complete
    activate(site, vault, 2)
    assert keyholder.vault().pending is None
    orders.lock(site, ME)
    with pytest.raises(UnlockError) as caught:
        unlock(site, old[:2])
    assert problem_of(caught) == "old_set"
    unlock(site, new[1:])


def test_a_new_set_may_be_put_into_force_unread_by_an_order_that_says_so(site: Settings) -> None:
    init(site)
    keyholder = VaultKeyholder(site)
    vault = keyholder.vault().vault_id
    begun = orders.carry_out(
        site, orders.Action.VAULT_RESHARE, ME, lambda event: keyholder.reshare(event, 2, 2), needed=2, count=2
    )
    new = [keyholder.show(vault, begun.id, index) for index in (1, 2)]
    activate(site, vault, 2, unread=True)
    orders.lock(site, ME)
    unlock(site, new)


def test_a_new_set_waits_over_a_restart(settings: Settings) -> None:
    site = custodians.installed(settings)
    with running_keyholder(site):
        old = init(site)
        keyholder = VaultKeyholder(site)
        vault = keyholder.vault().vault_id
        begun = orders.carry_out(
            site,
            orders.Action.VAULT_RESHARE,
            ME,
            lambda event: keyholder.reshare(event, 2, 2),
            needed=2,
            count=2,
        )
        new = [keyholder.show(vault, begun.id, index) for index in (1, 2)]
    with running_keyholder(site):
        unlock(site, old[:2])
        ceremony = keyholder.begin("read_back", "shares")
        for share in new:
            give(site, ceremony, share)
        activate(site, vault, 2)
        orders.lock(site, ME)
        unlock(site, new)


@pytest.mark.parametrize(("needed", "count"), [(1, 1), (3, 2), (2, 17)])
def test_a_policy_that_protects_nothing_is_refused(site: Settings, needed: int, count: int) -> None:
    with pytest.raises(FupanError):
        init(site, needed, count)
    assert not vault_file.path_of(site).exists()


def test_an_interrupted_init_leaves_nothing_and_may_begin_again(site: Settings) -> None:
    keyholder, vault = VaultKeyholder(site), uuid.uuid4()
    wanted: dict[str, Any] = {"kind": "shares", "suite": 1}
    begun = orders.carry_out(
        site,
        orders.Action.VAULT_INIT,
        ME,
        lambda event: keyholder.init(event, vault, needed=2, count=2, **wanted),
        vault,
        **wanted,
    )
    assert begun is not None
    with pytest.raises(UnlockError) as caught:
        activate(site, vault, 1)
    assert problem_of(caught) == "unread"
    assert not vault_file.path_of(site).exists()
    shares = init(site)
    orders.lock(site, ME)
    unlock(site, shares[:2])
    with pytest.raises(FupanError):
        init(site)


def test_orders_need_their_own_event_and_the_unlocked_vault(site: Settings) -> None:
    init(site)
    keyholder = VaultKeyholder(site)
    for act in (
        lambda: keyholder.reshare(uuid.uuid4(), 2, 2),
        lambda: keyholder.rekey(uuid.uuid4()),
        lambda: keyholder.add_slot(uuid.uuid4(), "file"),
    ):
        with pytest.raises(FupanError):
            act()
    with pytest.raises(VaultChangeError):
        keyholder.remove_slot(uuid.uuid4(), keyholder.vault().slots[0].id)
    # an order for 2 of 2 is none for 3 of 4
    with pytest.raises(KeyRefusedError):
        orders.carry_out(
            site,
            orders.Action.VAULT_RESHARE,
            ME,
            lambda event: keyholder.reshare(event, 3, 4),
            needed=2,
            count=2,
        )
    assert keyholder.vault().pending is None


def test_a_second_keyholder_on_the_same_data_is_refused(site: Settings) -> None:
    with pytest.raises(FupanError, match="another keyholder"), running_keyholder(site):
        pass


def test_the_keyholders_own_process_never_has_a_share(settings: Settings) -> None:
    """All that reaches it is ciphertext, and what it says of a share is its index."""
    site = custodians.installed(settings)
    with running_keyholder(site) as server:
        assert isinstance(server, Server)
        shares = init(site)
        children = server.service.ceremonies.going()
        assert children == []
        assert Keyholder(site).status().vault_id
        assert all(share.encode() not in b"".join(journal_lines(site)) for share in shares)
