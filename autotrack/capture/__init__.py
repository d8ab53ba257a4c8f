"""What a run knows about its world: pure functions that read and change nothing."""
