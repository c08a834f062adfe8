"""The networks: causal convolutions, encoder, decoder, bottlenecks."""
