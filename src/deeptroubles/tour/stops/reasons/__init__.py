"""Does the network look at the object?"""
