"""On which images, and for whom?"""
