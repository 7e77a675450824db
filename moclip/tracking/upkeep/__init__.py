"""What keeps MLflow true to the disk: places that moved, and what `moclip doctor` asks."""
