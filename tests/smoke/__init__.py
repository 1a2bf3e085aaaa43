"""`make smoke`: the real product once through, on a scratch folder."""
