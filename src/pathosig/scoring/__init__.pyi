from .assign import AssignReport as AssignReport
from .assign import assign_phenotypes as assign_phenotypes
from .bundle import BundleReport as BundleReport
from .bundle import read_bundle as read_bundle
from .bundle import write_bundle as write_bundle
from .score import ScoreReport as ScoreReport
from .score import score_slides as score_slides
