"""What stands between encoder and decoder: one class for each method, chosen by name."""
