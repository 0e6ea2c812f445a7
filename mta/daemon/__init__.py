"""The processes: the supervisor, and how its children begin, are told things, and end."""
