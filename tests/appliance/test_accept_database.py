"""An older database was put back: nothing is destroyed until somebody says that what it lacks is lost."""

from __future__ import annotations

import uuid

import pytest
from click.testing import CliRunner

from appliance import cli
from appliance.audit.log import Action
from appliance.config import Settings
from appliance.errors import DatabaseDoubtfulError, KeyRefusedError
from appliance.keyholder import orders
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from appliance.keyholder.vault_client import VaultKeyholder
from tests.support import erasure as support
from tests.support.custodians import ME
from tests.support.keyholder import running_keyholder
from tests.support.site import Site


def lose(server: Server) -> None:
    """A replay and an invitation of the hours that the database's backup does not have."""
    journal = server.service.desk.journal
    journal.append({"op": "file_keys", "event": str(uuid.uuid4()), "hash": "00" * 32})
    journal.append({"op": "sign", "kind": "packet", "recording": str(uuid.uuid4()), "day_key": "2026-01-01"})


def test_what_is_lost_is_missed_until_it_is_accepted(settings: Settings) -> None:
    with running_keyholder(settings) as server:
        site = Site(settings, Keyholder(settings))
        made = support.recorded(site)
        lose(server)
        support.mark(site, made)
        support.days_pass(server, 8)
        with pytest.raises(DatabaseDoubtfulError):
            support.carry_out(site)
        assert CliRunner().invoke(cli.main, ["vault", "accept-database"], input="n\n").exit_code == 1
        with pytest.raises(DatabaseDoubtfulError):
            support.carry_out(site)
        done = CliRunner().invoke(cli.main, ["vault", "accept-database"], input="y\n")
        assert done.exit_code == 0, done.output
        assert "lacks 1 events that keys were given for, and 1 interviews" in done.output
        assert support.carry_out(site) == 0  # the mark is heard of now, and its days begin
        support.days_pass(server, 17)
        assert support.carry_out(site) == 1
        assert "nothing is missing" in CliRunner().invoke(cli.main, ["vault", "accept-database"]).output
        lose(server)
        with pytest.raises(DatabaseDoubtfulError):
            Keyholder(settings).ask("idle_day_keys")


def test_an_order_that_names_other_losses_accepts_nothing(settings: Settings) -> None:
    with running_keyholder(settings) as server:
        lose(server)
        keyholder = VaultKeyholder(settings)
        with pytest.raises(KeyRefusedError):
            orders.carry_out(
                settings, Action.VAULT_ACCEPT, ME, keyholder.accept_database, events=1, interviews=0
            )
        assert keyholder.database_losses() == (1, 1)
