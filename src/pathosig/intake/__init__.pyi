from .checking import Findings as Findings
from .checking import check as check
from .init_report import InitReport as InitReport
from .making import init as init
