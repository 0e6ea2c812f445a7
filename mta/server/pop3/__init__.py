"""The hosts of POP3 sessions, and mail drops read ahead of their clients."""
