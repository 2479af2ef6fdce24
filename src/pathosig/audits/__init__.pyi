from .depth import audit_depth as audit_depth
from .null import audit_null as audit_null
from .optimism import audit_optimism as audit_optimism
from .site import audit_site as audit_site
from .spec import AuditSpec as AuditSpec
from .stability import audit_stability as audit_stability
from .stage import audit as audit
