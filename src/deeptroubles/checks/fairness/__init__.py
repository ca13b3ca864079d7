"""Whom does it fail?"""
