"""The shapes of external API a merchant may speak, one folder each, without any I/O.

`registry` lists them; `protocol` says what a dialect gives; `calls` is what every dialect is translated into.
"""
