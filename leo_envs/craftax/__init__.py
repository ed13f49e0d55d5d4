"""Craftax and Craftax-Classic with a goal for everything that can be next to the player, be carried or be learned."""
