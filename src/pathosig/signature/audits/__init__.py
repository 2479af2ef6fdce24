"""Honesty checks of the whole procedure: null, optimism, site, depth, stability."""

from __future__ import annotations

from pathosig.signature.audits.depth import audit_depth
from pathosig.signature.audits.null import audit_null, permuted_order
from pathosig.signature.audits.optimism import audit_optimism
from pathosig.signature.audits.site import audit_site
from pathosig.signature.audits.stability import audit_stability

__all__ = ["audit_depth", "audit_null", "audit_optimism", "audit_site", "audit_stability", "permuted_order"]
