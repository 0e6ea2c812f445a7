"""SMTP in datagrams: what stands in the place of a connection."""
