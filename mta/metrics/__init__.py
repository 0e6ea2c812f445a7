"""The counters for others: HTTP from a process of its own, which reads the shared memory and nothing else."""
