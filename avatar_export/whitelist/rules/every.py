"""All named rules: importing this module registers those of every file."""

from __future__ import annotations

import avatar_export.whitelist.rules.axes
import avatar_export.whitelist.rules.faults
import avatar_export.whitelist.rules.folding
import avatar_export.whitelist.rules.graph
import avatar_export.whitelist.rules.merging
import avatar_export.whitelist.rules.resizing
import avatar_export.whitelist.rules.sizes  # noqa: F401
from avatar_export.whitelist.rules.predicates import PREDICATES

__all__ = ["PREDICATES"]
