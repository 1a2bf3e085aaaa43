"""What every process asks itself before it serves: does this machine still compute what it should?"""

from __future__ import annotations

import logging

from appliance.errors import ConfigurationError
from storage.vault import SelfTestFailed, self_test

logger = logging.getLogger(__name__)


def require_known_answers() -> None:
    """Ask every cryptographic primitive and every format for its known answer; takes some milliseconds.

    Raises ConfigurationError, which names the first answer that is wrong.
    """
    try:
        asked = self_test()
    except SelfTestFailed as error:
        what = f"the self-test of {error.kind} failed ({error}); nothing is sealed or opened on this machine"
        raise ConfigurationError(what=what) from error
    logger.info("self-test: %d known answers are right", asked)
