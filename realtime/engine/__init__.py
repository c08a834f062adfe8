"""From latents to sound: the streaming model, its latents and voices. Starts no process and opens no socket."""
