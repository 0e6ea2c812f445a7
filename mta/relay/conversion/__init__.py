"""Texts made fit for hosts that cannot take them as they are: what MIME says of a text, and the conversion to
seven bits.
"""
