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
REMEDIES = {
    "temperature": "divide the logits by the number that calibrates the probabilities, which changes no prediction",
    "balanced": "refit the last layer with equal numbers of every class in every group (--group)",
    "cue": "put the cue into every second image, whatever its class (--cue)",
    "textures": "give every second image the Fourier amplitudes of another, so that shapes must be used",
    "anti-aliased": "blur wherever pixels are skipped, so that small shifts matter less",
    "adversarial": "train on adversarial images (--epsilon)",
}
"""What can be done against a problem in training: each name with what it does."""
