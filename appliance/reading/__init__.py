"""What pages read: lists scoped to a person, counted, sorted and paged in the database."""
