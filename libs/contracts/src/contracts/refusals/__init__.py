"""Refusals: a rule said no. One class each: a stable code, a sentence, typed facts.

A refusal is an answer, no error. The classes stand in this package's modules by subject and are imported from here,
which is their only path; a new one is written in its module and nowhere else.
"""

from __future__ import annotations

from contracts.refusals.asking import *
from contracts.refusals.base import Refusal as Refusal
from contracts.refusals.campaigns import *
from contracts.refusals.coupons import *
from contracts.refusals.eligibility import *
from contracts.refusals.issuing import *
from contracts.refusals.orders import *
from contracts.refusals.terms import *

REFUSALS: dict[str, type[Refusal]] = {refusal.code: refusal for refusal in Refusal.__subclasses__()}
"""Every refusal class by its code."""
