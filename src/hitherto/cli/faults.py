"""From an error to what a person reads, what a program parses and the exit code. No traceback for what is not our fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typer.exceptions import TyperException

from hitherto.errors import DefinitionError, HithertoError, UnknownNameError

if TYPE_CHECKING:
    from hitherto.cli.output import Output

SAID_NO, USAGE, ENVIRONMENT, CHANGES, FAULT, INTERRUPTED = 1, 2, 3, 4, 5, 130
"""Exit codes beside 0, done."""
REPORT = "This is a fault of Hitherto, not of your data. Please report it to the project's issue tracker, with the output of the same command with --debug."


def exit_code(error: BaseException) -> int:
    """The exit code of an error."""
    if isinstance(error, HithertoError):
        return error.exit_code
    if isinstance(error, TyperException):
        return USAGE
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return ENVIRONMENT if isinstance(error, OSError | MemoryError) else FAULT


def message(error: BaseException) -> str:
    """What a person is told."""
    if isinstance(error, TyperException):
        return error.format_message()
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted. Nothing that was published is touched; the next command finishes or rolls back what was under way."
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}."
    if isinstance(error, MemoryError):
        return 'Out of memory. Lower offline.memory_limit, for example memory_limit = "2GB" in hitherto.toml, so that the engine spills earlier.'
    if exit_code(error) == FAULT:
        return f"{type(error).__name__}: {error}\n{REPORT}"
    return str(error)


def document(error: BaseException) -> dict[str, Any]:
    """The error as JSON: {"error": {"type", "message", "exit_code"}}; problems of definitions one by one."""
    told: dict[str, Any] = {"type": _kind(error), "message": message(error), "exit_code": exit_code(error)}
    if isinstance(error, DefinitionError):
        told["problems"] = [
            {
                "message": problem.message,
                "object": problem.object,
                "file": problem.location.file if problem.location else None,
                "line": problem.location.line if problem.location else None,
            }
            for problem in error.problems
        ]
    if isinstance(error, UnknownNameError):
        told["known"] = list(error.known)
    return {"error": told}


def tell(output: Output, error: BaseException) -> int:
    """Say what happened, on the terminal or as JSON; returns the exit code."""
    from hitherto.cli.output import styled

    if output.debug:
        import traceback

        traceback.print_exception(error)
    if output.as_json:
        output.show(document(error), lambda console: None)
        return exit_code(error)
    text = styled("error: ", "bold red").append(message(error), "not bold default")
    output.messages.print(text)
    hint = _hint(error)
    if hint:
        output.messages.print(styled(hint, "dim"))
    return exit_code(error)


def _kind(error: BaseException) -> str:
    return "UsageError" if isinstance(error, TyperException) else type(error).__name__


def _hint(error: BaseException) -> str:
    """How to see a command's help, after a call that could not be understood."""
    context = getattr(error, "ctx", None)
    return f"Its help: {context.command_path} --help" if context is not None else ""


def with_error(report: Mapping[str, Any], error: BaseException) -> dict[str, Any]:
    """One document of a report that says no: what was done, and the error."""
    return {**report, **document(error)}
