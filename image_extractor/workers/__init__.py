"""What runs tasks, and what happens where they run."""
