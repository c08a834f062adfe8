"""Plays a model file, live or offline. engine/ computes sound, control/ takes messages, live/ runs the processes of
`wavevae serve`, offline/ renders to files."""
