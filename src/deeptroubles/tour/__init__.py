"""The tour: every idea of the lecture on one page, made on your own machine from what comes inside packages.

`stops/` has one file for each idea, in the folder of its chapter; `walk.py` goes through them, `shared/` has the
networks and drawings that several use.
"""
