from .checking import CheckReport as CheckReport
from .checking import check as check
from .init_report import InitReport as InitReport
from .making import init as init
