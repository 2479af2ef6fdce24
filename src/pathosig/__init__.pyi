from .commands.pipeline import run_all as run_all
from .core.clinical import Endpoint as Endpoint
from .core.study import Study as Study
from .core.units import Execution as Execution
from .encoder import embed_tiles as embed_tiles
from .encoder import train_encoder as train_encoder
from .figures import km_plot as km_plot
from .phenotypes import find_phenotypes as find_phenotypes
from .profiles import build_profiles as build_profiles
from .report import build_report as build_report
from .scoring import score_slides as score_slides
from .signature import Signature as Signature
from .signature import build_signature as build_signature
from .signature import fit_signature as fit_signature
from .slides import open_slide as open_slide
from .synthetic import simulate as simulate
from .tiles import cut_tiles as cut_tiles
from .tissue import find_tissue as find_tissue
from .validation import treatment_benefit as treatment_benefit
from .validation import validate as validate
from .validation import validate_signature as validate_signature
from .viewer import serve_viewer as serve_viewer

__version__: str
