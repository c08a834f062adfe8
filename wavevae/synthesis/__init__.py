"""The demo corpus: notes and short phrases of four instruments, synthesised from small physical models."""

from wavevae.synthesis.corpus import FAMILIES, demo_corpus, write_corpus

__all__ = ["FAMILIES", "demo_corpus", "write_corpus"]
