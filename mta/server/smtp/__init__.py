"""The hosts of SMTP sessions: who may send what to whom, and the way of a message into the store."""
