"""Turns one recording's media into observed signals, as a child process.

Knows no people, no database, no network.
"""
