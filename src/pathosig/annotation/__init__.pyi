from .agreement import fleiss_kappa as fleiss_kappa
from .agreement import krippendorff_alpha as krippendorff_alpha
from .command import annotate as annotate
