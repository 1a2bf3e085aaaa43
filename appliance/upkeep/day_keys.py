"""The day keys that browsers seal to, brought to intake ahead of their days."""

from __future__ import annotations

from appliance import jobs
from appliance.config import Settings
from appliance.keyholder.client import Keyholder
from appliance.packet import PacketError
from appliance.transport import Transport, transport_of


@jobs.task("publish_day_keys", retry=False)
def publish_day_keys(work: jobs.Work) -> None:
    """Bring the list to intake. The same list again changes nothing there."""
    publish(work.settings, transport_of(work.settings))


def publish(settings: Settings, transport: Transport) -> None:
    """Have the keyholder make what is missing of the next 30 days, and put its signed list before intake.

    While the vault is locked the list that is there goes on; past its last day the last key stays in use.
    """
    publics = Keyholder(settings).publics()
    if publics.day_list is None:  # a vault that was never unlocked
        return
    try:
        transport.put_day_keys(publics.day_list)
    except PacketError as error:
        if error.kind != "unknown_key":
            raise
        # Before the first packet of a site intake does not know whose signature to trust.
        transport.install_service_keys(publics.service_keys)
        transport.put_day_keys(publics.day_list)
