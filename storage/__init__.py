"""Keeps bytes under keys. Knows no interviews, no people, no database."""
