"""Orchestration: what runs when. Nothing here computes anything."""
