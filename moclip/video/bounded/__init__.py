"""What one video may cost, and processes that the system holds to it."""
