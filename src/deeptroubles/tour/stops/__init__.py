"""The stops: one idea per file, in the folder of its chapter."""
