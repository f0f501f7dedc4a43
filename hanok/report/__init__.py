"""Result records as terminal tables, HTML, Perfetto trace and JSON; nothing is computed here."""

from hanok.report.files import OutputError, check_writable, write_through, write_whole
from hanok.report.html import to_html
from hanok.report.json_result import as_dictionary, to_json
from hanok.report.terminal import print_record
from hanok.report.trace import to_trace

__all__ = [
    "OutputError",
    "as_dictionary",
    "check_writable",
    "print_record",
    "to_html",
    "to_json",
    "to_trace",
    "write_through",
    "write_whole",
]
