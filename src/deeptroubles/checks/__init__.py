"""What to ask: one question per file. A check reads the recording, looks with methods, and answers with findings.

A check named `family.name` is the function `name`, decorated with `@check("family.name")`, in `checks/family/name.py`
or `checks/family/name/name.py`; it is found by listing the folders. `shared/` holds what several checks of a family
use. Checks of other packages are found through the entry point group `deeptroubles.checks`.
"""
