"""The bench: our server and others under the same load, on the same disk, in turn.

A part (`reception`, `relay`, `idle`, `large`, `disk`) measures one thing and answers with a section of
Markdown. Parts know servers only as `servers.Server`: a port, a tree of processes, folders in which mail
appears. What a figure means is said where it is taken.

Machines are noisy, so no run stands alone: the servers take turns, every figure is the median of its runs,
and only ratios between figures taken side by side are worth quoting.
"""
