"""All named rules: importing this module registers those of every file."""

from __future__ import annotations

import avatar_export.whitelist.fault_rules
import avatar_export.whitelist.folding_rules
import avatar_export.whitelist.fusion_rules
import avatar_export.whitelist.graph_rules
import avatar_export.whitelist.resize_rules
import avatar_export.whitelist.sizes  # noqa: F401
from avatar_export.whitelist.predicates import PREDICATES

__all__ = ["PREDICATES"]
