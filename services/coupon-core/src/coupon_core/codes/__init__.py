"""Codes: how generated ones follow from serial numbers, and how any code is read. No I/O, no clock."""
