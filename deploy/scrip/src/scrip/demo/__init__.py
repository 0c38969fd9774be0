"""`scrip demo`: a real grocery chain's year of coupons on a platform of its own, counted from topic and tables."""

from scrip.demo.command import main

__all__ = ["main"]
