class UserError(Exception):
    """Something only the user can put right.

    The message is one line: it names the input, says what is wrong and what to do. The command
    line prints it on stderr and exits with status 2.
    """
