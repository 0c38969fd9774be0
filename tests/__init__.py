"""Tests; a package, so that a package in it (tests.gateway) does not stand in for a service of the same name."""
