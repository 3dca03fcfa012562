"""Pages that people open: a release for everybody, and a validated submission for the trust's information team.

Every page is one file that needs no network and runs no script. Pages are made from the files that other stages wrote.
"""
