"""What the answer hangs on: experiments that exchange one thing in an image and keep the rest."""
