"""reliance.texture: the check, cue conflict and suppression."""
