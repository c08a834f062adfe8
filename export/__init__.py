"""The export workshop: a checkpoint -> one streaming TorchScript file."""
