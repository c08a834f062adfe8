"""The training workshop: a folder of sounds -> a run folder with checkpoints."""
