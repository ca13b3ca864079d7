"""One router for each page: it translates between addresses and what methods, workflows and the run folder give."""
