"""The commands: what an operator types, turned into calls and requests."""
