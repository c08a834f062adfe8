"""What a model has made of a set of sounds: where they lie, what lies between them, what follows from an axis."""
