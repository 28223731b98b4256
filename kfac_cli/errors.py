"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """A mistake in a setting or a file: one line that names it, its value and the way out."""
