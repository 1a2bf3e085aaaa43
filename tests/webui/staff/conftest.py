"""A desk for each test of the staff pages."""

from __future__ import annotations

import pytest

from appliance.config import Settings
from appliance.keyholder.client import Keyholder
from tests.support.desk import Desk


@pytest.fixture
def desk(settings: Settings, keyholder: Keyholder) -> Desk:
    return Desk(settings, keyholder)
