"""What training minimises: each objective returns a raw, unweighted number."""
