from .annotation import annotate as annotate
from .audits import audit as audit
from .commands.clean import clean as clean
from .commands.demo import demo as demo
from .commands.doctor import doctor as doctor
from .commands.export import export as export
from .commands.notebook import Study as Study
from .commands.pipeline import run_all as run_all
from .commands.status import status as status
from .commands.status import verify as verify
from .comparators import compare as compare
from .core.clinical import Endpoint as Endpoint
from .core.units import Execution as Execution
from .encoder import embed_tiles as embed_tiles
from .encoder import train_encoder as train_encoder
from .figures import km_plot as km_plot
from .intake import check as check
from .intake import init as init
from .phenotypes import find_phenotypes as find_phenotypes
from .profiles import build_profiles as build_profiles
from .report import build_report as build_report
from .scoring import assign_phenotypes as assign_phenotypes
from .scoring import score_slides as score_slides
from .scoring import write_bundle as write_bundle
from .signature import Signature as Signature
from .signature import build_signature as build_signature
from .signature import fit_signature as fit_signature
from .slides import open_slide as open_slide
from .synthetic import simulate as simulate
from .tiles import cut_tiles as cut_tiles
from .tissue import find_tissue as find_tissue
from .tma.stage import find_cores as find_cores
from .validation import treatment_benefit as treatment_benefit
from .validation import validate as validate
from .validation import validate_signature as validate_signature
from .viewer import serve_viewer as serve_viewer
from .viewer import view as view

__version__: str

assign = assign_phenotypes
bundle = write_bundle
run = run_all
score = score_slides
