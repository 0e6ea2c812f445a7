"""SMTP as a client speaks it: one session that takes letters to another server; the twin of `smtp`."""
