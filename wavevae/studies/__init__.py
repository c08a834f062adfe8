"""The spectrogram models of four earlier studies, evaluated beside the waveform models: see docs/lab/studies.md.

study_config.py       settings of a study            features.py          sound <-> log-mel or magnitude and phase
window_networks.py    encoders, decoders of a window  spectrogram_model.py model with the methods of an Autoencoder
feature_loss.py       distances of features          sections.py          sounds of any length in bounded memory
study_run.py          for evaluation and render      render_study.py      `wavevae render RUN`
"""
