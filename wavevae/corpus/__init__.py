"""Files found -> decoded once -> int16 memory map and index -> overlapping chunks; every file accounted for."""

from wavevae.corpus.chunks import Chunks
from wavevae.corpus.files import OWN, Found, find_files
from wavevae.corpus.report import Row, write_report
from wavevae.corpus.split import split, training_report
from wavevae.corpus.store import Item, Store, build_store

__all__ = [
    "OWN",
    "Chunks",
    "Found",
    "Item",
    "Row",
    "Store",
    "build_store",
    "find_files",
    "split",
    "training_report",
    "write_report",
]
