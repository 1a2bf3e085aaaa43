"""Alembic migrations: plain SQL beside a small step each; they import nothing of the application.

They go forward only, so none has a `downgrade`: it could but drop what was recorded since. An earlier release
comes back with its own database, from a backup made before the update.
"""
