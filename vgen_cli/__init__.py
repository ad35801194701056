"""Everything between a person and the mathematics: recipes, files, progress. Never spells a layer."""

__version__ = "0.1.0"
