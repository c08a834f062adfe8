"""Files in, files out: `render`, `encode`, scores and latents in files."""
