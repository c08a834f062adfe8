"""The spectrogram models of the four studies, to be judged beside the waveform models: see docs/lab/studies.md.

config.py      what a study chose                     features.py   sound -> log-mel or magnitude and phase, and back
windows.py     frames cut into windows, added again   networks.py   convolutional encoders and decoders of a window
model.py       the whole, with an Autoencoder's face  loss.py       distances of features
long.py        sounds of any length                   subject.py    as evaluation and render see it
"""
