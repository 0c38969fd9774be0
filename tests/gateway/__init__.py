"""Tests of the gateway; a package, so that the platform they share ends with the last of them."""
