"""What comes from outside and goes to people: escaped once, at each exit, and without secrets."""
