"""The one error this package raises on purpose."""


class PlatformError(Exception):
    """Something the user has to know or do, said in one sentence; the command line prints it and exits 1."""
