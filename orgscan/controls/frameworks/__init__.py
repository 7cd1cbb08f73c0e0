"""Frameworks as data: which control answers which requirement of which version.

The files beside this one are what comes with orgscan; a user's own file has the same form.
"""
