"""The spectrogram models of four earlier studies, evaluated beside the waveform models: see docs/lab/studies.md.

study_config.py       settings of a study            features.py          sound <-> log-mel or magnitude and phase
spectrogram_model.py  the model and its networks     study_run.py         for evaluation and render
family.py             the model family, `wavevae render RUN`
"""
