"""reliance.texture: the check, and its two protocols, cue conflict and suppression."""
