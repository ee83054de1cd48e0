"""Pages on which people make and revoke tokens."""
