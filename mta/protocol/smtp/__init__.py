"""SMTP as a server speaks it (RFC 5321): verbs, the order of commands, text, logins."""
