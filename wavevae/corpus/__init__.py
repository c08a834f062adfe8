"""Files found -> decoded once -> int16 memory map and index -> overlapping chunks; every file accounted for."""

from wavevae.corpus.chunks import Chunks
from wavevae.corpus.files import OWN, FoundFile, find_files
from wavevae.corpus.split import split, training_report
from wavevae.corpus.store import Item, ReportRow, Store, build_store, write_report

__all__ = [
    "OWN",
    "Chunks",
    "FoundFile",
    "Item",
    "ReportRow",
    "Store",
    "build_store",
    "find_files",
    "split",
    "training_report",
    "write_report",
]
