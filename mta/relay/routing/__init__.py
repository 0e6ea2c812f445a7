"""Where a domain's mail goes: routes of the operator, exchangers of DNS, addresses that may be tried.

Reads a settings snapshot and answers of name servers, and says hosts and addresses; knows no letter and no
connection.
"""
