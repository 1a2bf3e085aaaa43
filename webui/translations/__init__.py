"""The catalogues, and how strings for people are found; `make translations` brings them up to date."""
