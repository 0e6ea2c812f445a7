"""What operators ask of the queue (`mta queue`): lists, reasons, and what is to be done with letters.

The same answers come from the running relay and from a locked tree without one.
"""
