"""What the options of workflows can be; apart, so that the command line can list it without importing torch."""

from typing import Literal

Around = Literal["receptive_field", "cell"]
"""How samples of a unit are cropped."""
StylizeMethod = Literal["amplitude", "gatys", "silhouette", "surface"]
"""How an image gets the texture of another."""
Technique = Literal["maximize", "dream", "caricature", "maps", "filters", "atlas"]
"""What is drawn of units."""
UnitTechnique = Literal["dataset", "channel", "neuron", "negative", "diversity", "dream", "caricature", "text"]
"""What is computed for the units of a layer, and kept."""
