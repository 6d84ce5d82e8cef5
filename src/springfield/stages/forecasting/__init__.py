"""How a series goes on."""
