"""The errors that hanok raises for a user's input; anything else that escapes is a bug of ours."""


class HanokError(Exception):
    """Bad input: the message says what, where, what was found, what is allowed and what to do."""


class ChipError(HanokError):
    """A chip description that cannot be built."""


class ModelError(HanokError):
    """A model file that cannot be read, or is not what it claims to be."""


class UnsupportedError(HanokError):
    """A legal model that this chip or this version of hanok cannot run."""


class CompileError(HanokError):
    """A supported model for which no legal program was found on this chip."""


class ProgramError(HanokError):
    """A program file that is damaged, from another version, or for another chip.

    `cause`: the `hanok.isa.faults.Fault` that a core reports for it, 0 where it would never see it.
    """

    def __init__(self, message: str, cause: int = 0) -> None:
        super().__init__(message)
        self.cause = cause


class VerifyError(HanokError):
    """A program that breaks a rule of the machine: bank ownership, bounds or semaphores.

    `cause`: as of ProgramError.
    """

    def __init__(self, message: str, cause: int = 0) -> None:
        super().__init__(message)
        self.cause = cause
