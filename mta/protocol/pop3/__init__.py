"""POP3 as a server speaks it (RFC 1939, 2449, 2595, 5034, 6856)."""
