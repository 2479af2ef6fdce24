from .check import Findings as Findings
from .check import check as check
from .init_report import InitReport as InitReport
from .init import init as init
