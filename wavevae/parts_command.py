"""`wavevae parts`: a run -> its encoder and its decoder, each in a file of its own."""

from __future__ import annotations

from pathlib import Path

from wavevae.cli import Parser
from wavevae.console import say

EXAMPLE = """\
  wavevae parts runs/mine -o parts
  python -c "from wavevae.parts import load_decoder; print(load_decoder('parts/decoder.pt').config)"
"""


def main(argv: list[str]) -> int:
    """Entry point. Raises: UserError."""
    parser = Parser(
        "parts", "Save a run's encoder and decoder apart, to be used one without the other.", EXAMPLE
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder or checkpoint")
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, required=True, help="folder to write into")
    parser.add_argument("--checkpoint", default="best", metavar="WHICH", help="best, last or a path")
    args = parser.parse_args(argv)
    from wavevae.checkpoint import find_checkpoint, read_checkpoint
    from wavevae.parts import save_parts

    for path in save_parts(read_checkpoint(find_checkpoint(args.run, args.checkpoint)), args.out):
        print(path)
    say("load them with wavevae.parts.load_encoder and load_decoder")
    return 0
