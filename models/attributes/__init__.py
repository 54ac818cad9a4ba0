"""Type and colour of a product, recognised from its photos."""

from models.attributes.colour import ColourReading, combine_colours, measure_colour
from models.attributes.types import TypeGuess, TypeModel

__all__ = ["ColourReading", "TypeGuess", "TypeModel", "combine_colours", "measure_colour"]
