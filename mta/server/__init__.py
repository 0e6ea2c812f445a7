"""The receiver: sockets, sessions and what is answered to them.

A message goes one way through here: `receiver` takes the connection, `connection` moves octets between its
socket and its session, `smtp` answers what the session tells by asking `policy` and the store.
"""
