"""A mailbox as POP3 sees it: locked, numbered, its sizes exact, its names stable."""
