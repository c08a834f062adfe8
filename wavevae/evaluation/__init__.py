"""The yardstick: metrics, pictures and reports; shares no code path with the objectives."""
