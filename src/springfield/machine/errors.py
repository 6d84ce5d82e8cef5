"""The error that a user can mend."""


class UserError(Exception):
    """One line that says what is wrong, where, and how to mend it."""
