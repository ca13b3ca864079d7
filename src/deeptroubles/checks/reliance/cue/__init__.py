"""reliance.cue: the check, cues given by a column, and the class associated with a cue."""
