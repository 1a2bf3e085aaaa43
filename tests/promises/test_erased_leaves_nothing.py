"""Promise: after an erasure nothing of the person is left in the clear, nor opens, over every backup.

Sought: what was recorded, typed, noted and attached, the link's secret, and the name and address for lists,
in every file of the site and of the key backups, and in every column of the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from appliance.config import Settings
from appliance.keyholder.client import Keyholder
from appliance.stages.decide import notes
from appliance.stages.talent import resume
from appliance.upkeep import key_backup
from storage.vault import KeyStore, generations
from tests.flow.database import walk
from tests.promises.test_erased_is_gone import back_up_each_day
from tests.support import erasure as support
from tests.support import papers, postgres
from tests.support.canary import Canaries
from tests.support.keyholder import running_keyholder, with_key_backups
from tests.support.site import Site

pytestmark = pytest.mark.promise


def columns_with(cluster: postgres.Cluster, settings: Settings, sought: Canaries) -> tuple[list[str], int]:
    """Where any of it stands in the database, and how many columns were looked at."""
    url = make_url(cluster.superuser_url)
    with (
        psycopg.connect(
            host=str(cluster.socket), user="postgres", password=url.password, dbname=settings.database.name
        ) as connection,
        connection.cursor() as cursor,
    ):
        hits, columns, _ = walk(cursor, sought)
    return hits, columns


def test_nothing_is_left_in_any_file_or_column(
    settings: Settings,
    cluster: postgres.Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    settings = with_key_backups(settings)
    words = {name: secrets.token_urlsafe(30) for name in ("spoken", "note", "résumé")}
    person = f"n{secrets.token_hex(10)}"
    monkeypatch.setattr(support, "WORDS", words["spoken"].encode())
    sought = Canaries()
    for name, text in words.items():
        sought.text(name, text)
    sought.text("name and address", person)
    with running_keyholder(settings) as server:
        site = Site(settings, Keyholder(settings))
        made = support.recorded(site, person, resume_too=False)
        sought.text("the link's secret", site.link_secret(made))
        notes.write(settings, site.recruiter, made, words["note"])
        data = papers.pdf(words["résumé"].encode(), 20_000)
        resume.keep(settings, site.recruiter, made, lambda: data)
        back_up_each_day(server)
        _, before = sought.scan([settings.data])
        kept = {line.split(" in ")[0] for line in before}
        assert kept == {"name and address", "the link's secret"}  # in the letter and in the packet
        assert {hit.rsplit(" in ", 1)[1] for hit in columns_with(cluster, settings, sought)[0]} >= {
            "candidate.name", "candidate.email", "outgoing_mail.recipient"
        }  # fmt: skip
        support.mark(site, made)
        support.days_pass(server, 8)
        assert support.carry_out(site) == 1
    looked = 0
    for generation in [None, *generations(Path(settings.vault.key_backup))]:
        if generation is not None:
            key_backup.restore(settings, generation.path, "test")
        with running_keyholder(settings):
            assert not Keyholder(settings).status().locked
        store = KeyStore(settings.keys_folder)
        assert store.list("recording") == store.list("person") == []
        read, hits = sought.scan([settings.data])
        looked += read
        assert hits == []
    hits, columns = columns_with(cluster, settings, sought)
    assert hits == []
    assert columns > 150
    record_property(
        "figure",
        f"{len(sought.needles)} spellings sought in {looked / 1e6:.1f} MB over 7 generations put back and in "
        f"{columns} columns: 0 found, 0 keys left",
    )
