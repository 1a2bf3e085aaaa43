"""The story, told through the running product, in the order in which it happens."""
