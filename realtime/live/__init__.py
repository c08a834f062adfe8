"""A live performance: its processes, shared memory, audio devices and recordings."""
