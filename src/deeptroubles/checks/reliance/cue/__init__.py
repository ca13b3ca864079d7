"""reliance.cue: the check, cues told by a column, and the class a cue speaks for."""
