"""The way out: schedule, letter, route, attempt, session, outcome, finish or bounce. Each arrow is one call.

What can be decided without touching the world (schedule, routes, outcomes, reports) is decided in modules
that do not touch it.
"""
