"""What a reader of the first page alone needs: the opening of the report, and the report as one file."""
