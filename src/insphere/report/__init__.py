"""The report: one self-contained HTML file that opens without a network."""

from insphere.report.heat_section import shown_images
from insphere.report.report_data import ReportData
from insphere.report.write import render_report, write_report

__all__ = ["ReportData", "render_report", "shown_images", "write_report"]
