"""The internal API under /internal/v1: for staff, the console and the command line."""
