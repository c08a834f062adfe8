"""The sounds of a run: found, decoded once, split, cut into chunks, and what the user should know of them."""
