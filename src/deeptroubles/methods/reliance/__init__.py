"""What the prediction relies on: experiments that change one thing in an image and keep the rest."""
