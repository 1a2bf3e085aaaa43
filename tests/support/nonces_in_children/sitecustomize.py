"""Read by each Python that starts with this folder on PYTHONPATH: the media child takes part in the count."""

from tests.support import nonces

nonces.count_in_this_process()
