"""Merchants' interfaces: the public contract, or a REST interface declared in the merchant's profile.

Callers need `open_interface`, the records, the failures and `PagingCheck`; httpx, JMESPath and the breaker
stay in here.
"""

from merchant_adapter.interfaces.addresses import AddressPolicy
from merchant_adapter.interfaces.declared import DeclaredInterface
from merchant_adapter.interfaces.failures import (
    AddressRefused,
    CredentialsRefused,
    InterfaceFailure,
    InterfaceGone,
    MerchantMisbehaves,
    MerchantRefused,
    MerchantUnavailable,
    NotOffered,
    OutcomeUnknown,
)
from merchant_adapter.interfaces.http import HttpLimits, Outbound
from merchant_adapter.interfaces.merchant_interface import (
    Abilities,
    Delivery,
    MerchantInterface,
    Offer,
    Receipt,
    RefusedUser,
    User,
    UserPage,
)
from merchant_adapter.interfaces.openapi import OpenApiInterface
from merchant_adapter.interfaces.paging import PagingCheck
from merchant_adapter.interfaces.profile import AnyProfile, DeclaredProfile, OpenApiProfile, ProfileFault, read_profile


def open_interface(outbound: Outbound, merchant: str, profile: AnyProfile) -> MerchantInterface:
    """The merchant's interface of the kind its profile names. Cheap; sends nothing."""
    http = outbound.for_merchant(merchant, profile)
    return DeclaredInterface(http, profile) if isinstance(profile, DeclaredProfile) else OpenApiInterface(http)


__all__ = [
    "Abilities",
    "AddressPolicy",
    "AddressRefused",
    "AnyProfile",
    "CredentialsRefused",
    "DeclaredProfile",
    "Delivery",
    "HttpLimits",
    "InterfaceFailure",
    "InterfaceGone",
    "MerchantInterface",
    "MerchantMisbehaves",
    "MerchantRefused",
    "MerchantUnavailable",
    "NotOffered",
    "Offer",
    "OpenApiProfile",
    "Outbound",
    "OutcomeUnknown",
    "PagingCheck",
    "ProfileFault",
    "Receipt",
    "RefusedUser",
    "User",
    "UserPage",
    "open_interface",
    "read_profile",
]
