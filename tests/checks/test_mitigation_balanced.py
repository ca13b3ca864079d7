from tests.checks.test_mitigation_reweighing import clean, planted

__all__ = ["clean", "planted"]
