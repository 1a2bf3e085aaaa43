"""What several tests share: a real PostgreSQL, a site in a temporary folder."""
