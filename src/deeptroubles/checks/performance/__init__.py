"""How accurate it is, and how meaningful its confidence is."""
