"""What the keyholder answers, one module for each family of operations."""
