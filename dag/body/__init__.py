"""Articulated 3-D human body: proportions, joint limits, random poses, clothes and a dressed, posed mesh."""
