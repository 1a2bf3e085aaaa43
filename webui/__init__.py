"""Pages and the API, for candidates, staff, auditors and other systems. Talks to appliance only."""
