"""What crosses a process border: topics, commands, events, refusals, identifiers and the writers' signature.

Imports pydantic and nothing of ours, so that anybody may depend on it.
"""
