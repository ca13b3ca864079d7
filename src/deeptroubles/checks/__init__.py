"""What to ask: one question per file. A check reads the recording, looks with methods, and answers with findings.

A check named `family.name` is the function decorated with `@check("family.name")` in `checks/family/name.py`; it is
found by listing the folders. Checks of other packages are found through the entry point group `deeptroubles.checks`.
"""

from deeptroubles.checks.registry import Check, Result, all_checks, check, chosen_checks

__all__ = ["Check", "Result", "all_checks", "check", "chosen_checks"]
