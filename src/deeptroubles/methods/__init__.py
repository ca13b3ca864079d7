"""How to look: pure functions, one per file. They return raw numbers and leave everything they touch as it was.

`catalogue.py` lists the methods of the four families that people use: attribution, attacks, transforms, units. A method
is the function that has the name of its file; `shared/` holds what several methods of a family use. The other rooms
serve checks.
"""
