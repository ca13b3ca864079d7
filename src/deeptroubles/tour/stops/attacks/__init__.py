"""How can it be fooled?"""
