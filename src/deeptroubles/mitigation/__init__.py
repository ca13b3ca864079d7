"""What can be done about gaps between groups, tried on half of the images and shown on the other half."""

from deeptroubles.mitigation.mitigate import Mitigation, mitigate

__all__ = ["Mitigation", "mitigate"]
