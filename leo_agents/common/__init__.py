"""What the algorithms share: heads, losses, replay and policies."""
