"""Where the object is, found without anything that was learned."""
