"""Alembic migrations: plain SQL beside a small step each; they import nothing of the application."""
