"""A prior over an instrument's control sequence: notes found in recordings, how they are played, what comes next."""

TEMPERATURE = 1.0
"""Of the frames of a performance and an improvisation, where nothing else is asked for."""
