"""What a reader of few pages needs: the opening of the report, the report as one file, and what each preset gives."""
