"""The playing workshop: a model file -> sound, live or offline."""
