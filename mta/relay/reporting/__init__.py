"""What senders are told (RFC 3461, 3464, 6522, 6533): which report is due, in what words, how many an hour.

A report is text until it is handed to the store like any other message; nothing here sends one.
"""
