"""The letters that wait for other servers: found, opened, marked, put off, removed, kept in `error/`."""
