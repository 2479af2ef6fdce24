from .spec import ReportSpec as ReportSpec
from .stage import build_report as build_report
