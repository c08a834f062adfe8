"""`wavevae train`: sounds -> a run folder."""

from __future__ import annotations

import sys

from . import arguments
from .processes import set_environment


def main(argv: list[str]) -> int:
    """Exit status: 0 trained, 1 it diverged, 130 interrupted and saved. Raises: UserError for wrong use."""
    set_environment()
    args = arguments.parse(argv)
    plan = arguments.make_plan(args)
    from .fit import train  # torch and Lightning are loaded here, after --help and wrong use

    return train(plan, args, argv)


if __name__ == "__main__":
    from wavevae import cli

    sys.exit(cli.main(["train", *sys.argv[1:]]))
