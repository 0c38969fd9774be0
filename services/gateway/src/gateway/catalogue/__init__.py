"""The catalogue: what may be claimed now, internal and external alike, and claiming it for a user."""
