"""How it is joined: detect stage, incident stage, checkpoints, settings, metrics, the Faust worker."""
