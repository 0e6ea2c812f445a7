"""Looking at the running receiver and steering it: administration, live settings, who is connected."""
