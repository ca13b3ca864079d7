"""One local page to look for yourself: findings, the microscope, what-if, data and fairness, the attack lab.

`workbench.py` holds what is looked at (a model, images, a run folder), `jobs.py` does long work in the background,
`guard.py` lets nobody else in, and `app.py` puts them together with one router for each page, in `pages/`. `export.py`
writes the same page as files. A router only translates: what it computes is a method or a workflow.
"""
