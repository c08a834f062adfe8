"""What changes the controls: addresses, presets, OSC, MIDI, the control page. Imports no torch."""
