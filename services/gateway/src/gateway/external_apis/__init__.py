"""Merchants' requests, each in its own dialect: identify, translate, carry out, answer."""

from gateway.external_apis.application import merchants_app

__all__ = ["merchants_app"]
