"""Sans-I/O sessions: bytes in, events out; replies in, bytes out.

Nothing here knows a socket, a clock, a file or a log; a session is a value that a test can hold in its
hand. The host (the server's loop, a test, a datagram peer) feeds it octets, answers its events and sends
what it hands out.
"""
