"""The business log: records, the events they tell of, and the process that writes them down."""
