"""Authorization for GRC and SaaS products: Cedar policies over members, projects, guests and auditors, fail-closed.

Anything that goes wrong while deciding is a denial that says so (`Decision.indeterminate`), never an allow.
"""

from bailiwick._bailiwick import (
    AllowedActions,
    Authorizer,
    Decision,
    DecisionError,
    Entity,
    EntityUid,
    Found,
    Request,
    Revision,
)
from bailiwick._errors import (
    BailiwickError,
    BundleError,
    DirectoryError,
    EntityError,
    EntityFault,
    Finding,
    Forbidden,
    QueryError,
    RequestError,
)

__all__ = [
    "AllowedActions",
    "Authorizer",
    "BailiwickError",
    "BundleError",
    "Decision",
    "DecisionError",
    "DirectoryError",
    "Entity",
    "EntityError",
    "EntityFault",
    "EntityUid",
    "Finding",
    "Forbidden",
    "Found",
    "QueryError",
    "Request",
    "RequestError",
    "Revision",
]
