"""A prior over an instrument's control sequence: notes found in recordings, how they are played, what comes next."""
