"""The administration protocol: mta-protocols(7)."""
