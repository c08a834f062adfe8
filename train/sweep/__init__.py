"""Many runs instead of one: a space of settings searched by several workers that share one file."""
