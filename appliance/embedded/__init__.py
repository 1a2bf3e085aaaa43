"""The embedded default: the whole product on one host, under one data folder, from one command.

Nothing here is needed where the product is installed by its deployment: there systemd starts the same
processes, each as its own Unix user, on the distribution's PostgreSQL.
"""
