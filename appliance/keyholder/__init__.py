"""The one process that holds the unlocked vault key. It gives a key only for a committed audit event.

process.py starts it, server.py answers on a Unix socket, answers/ has what it answers, gate.py demands the
event, custody.py holds the keys, journal.py records each use before the answer; client.py is what the rest of
the product calls.
"""
