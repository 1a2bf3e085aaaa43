"""A site for each test of a stage."""

from __future__ import annotations

import pytest

from appliance.config import Settings
from appliance.keyholder.client import Keyholder
from tests.support.site import Site


@pytest.fixture
def site(settings: Settings, keyholder: Keyholder) -> Site:
    return Site(settings, keyholder)
