"""Builds and verifies the one bundle and the model packs."""
