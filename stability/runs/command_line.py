"""Command lines made from a frozen configuration dataclass, with errors of one line.

Every command ends in one of a few known ways, whatever its options and its environment are: see
`command`.
"""

import contextlib
import io
import os
import re
import select
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

import tyro

from stability.loop.retraining import RetrainingError
from stability.runs.help_page import groups_of, show_help, wide
from stability.runs.option_error import on_command_line, option_name
from stability.runs.run_directory import RunDirectoryError
from stability.runs.untrusted import printable
from stability.runs.user_code import UserCodeError, failure_in_user_code

__all__ = ["UsageError", "command", "parse"]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
LONGEST_MESSAGE = 2000  # characters
_ARGUMENT = re.compile(r"^([a-z][a-z0-9_]*)(?= must )")
"""Name of an argument at the start of a message."""
_UNREADABLE = (
    (r"Could not find valid parse for arguments: \['(.*)'\]$", "must be numbers, got {}"),
    (
        r"no type matching \{None\}\|(\S+) could be instantiated from \['(.*)'\]$",
        "must be {}, got {}",
    ),
    (r"invalid literal for int\(\) with base 10: '(.*)'$", "must be a whole number, got {}"),
    (r"could not convert string to float: '(.*)'$", "must be a number, got {}"),
)
"""Messages of the parser about a value, and plainer ones."""
_KINDS = {"INT": "a whole number", "FLOAT": "a number"}


class UsageError(ValueError):
    """Options that do not fit together or their input; the message names the option, its value
    and the allowed values.
    """


def command(
    config_type: Any,
    run: Callable[[Any], Any],
    arguments: Sequence[str] | None = None,
    preset: type | None = None,
) -> None:
    """Parse the command line as `parse` does, run, and leave with a status.

    0: done.   2: a bad option, a folder that cannot be used, or an error in the user's own code.
    1: the run failed.   130: interrupted.
    Every failure that a user can mend is one line on standard error; warnings are one line each
    too.
    Output that nobody reads any more (`| head`) ends the command without a word, with status 1.

    Args:
        config_type: A dataclass, or a union of them, as for `parse`.
        run: Function that takes the configuration and does the work.
        arguments: Command-line arguments; None: those of this process.
        preset: Dataclass of the options that decide which others there are, as for `parse`.

    Raises:
        SystemExit: If the command leaves with a status other than 0.
    """
    _prepare_streams()

    with on_command_line(), _quiet_when_output_is_closed():
        config = parse(config_type, arguments, preset)
        warnings.showwarning = _one_line_warning
        try:
            run(config)
        except (UsageError, UserCodeError) as error:
            _leave(EXIT_USAGE, str(error))
        except RunDirectoryError as error:
            _leave(EXIT_USAGE, f"--out: {error}")
        except RetrainingError as error:
            _leave(EXIT_FAILED, f"stopped at {error}; the generations before it are kept")
        except BrokenPipeError:
            raise
        except OSError as error:
            _leave(EXIT_USAGE, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
        except Exception as error:
            if _is_out_of_memory(error):
                _leave(
                    EXIT_FAILED,
                    f"this takes more memory than there is ({_first_line(error)}); choose smaller "
                    "sizes",
                )
            failure = failure_in_user_code(error)
            if failure is None:
                raise
            _leave(EXIT_USAGE, failure)
        except KeyboardInterrupt:
            _leave(
                EXIT_INTERRUPTED,
                "interrupted; the same command resumes from the last finished generation",
            )


def parse(
    config_type: Any, arguments: Sequence[str] | None = None, preset: type | None = None
) -> Any:
    """Read the configuration that the arguments describe.

    Leaves with status 2 and one line that names the option, the value and what is allowed if they
    are wrong.

    Args:
        config_type: A dataclass, or a union of them; with `preset` a function from it to these.
        arguments: Default: those of this process.
        preset: A dataclass of the few options that decide which others there are and what they
            begin with, such as `--quick`. With the attribute `consumed` true they are no options
            of the configuration itself.

    Returns:
        The configuration.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _refuse_malformed(given)
    if preset is None:
        return _parsed(config_type, given)

    chosen, others = _parsed(preset, given, return_unknown_args=True, add_help=False)
    return _parsed(config_type(chosen), others if getattr(preset, "consumed", False) else given)


def _parsed(config_type: Any, given: Sequence[str], **options: Any) -> Any:
    """Parse the arguments with tyro; leave with status 2 where they are wrong."""
    shown = io.StringIO()
    settings = {"prog": _program(given), "args": given, "config": (tyro.conf.FlagCreatePairsOff,)}
    if options.get("add_help", True) and {"-h", "--help"} & set(given):
        _show_help(config_type, settings)
    try:
        with on_command_line(), contextlib.redirect_stderr(shown):
            return tyro.cli(config_type, **settings | options)
    except ValueError as error:  # of a nested configuration's own checks
        _leave(EXIT_USAGE, _ARGUMENT.sub(lambda named: option_name(named[1]), str(error)))
    except SystemExit as leaving:
        if leaving.code != EXIT_USAGE:
            raise
        _leave(EXIT_USAGE, _first_paragraph(shown.getvalue()))


def _show_help(config_type: Any, settings: Mapping[str, Any]) -> None:
    """Show a long help with headings, and leave; go on where it is short."""
    with wide(os.environ) as text, contextlib.suppress(SystemExit):
        tyro.cli(config_type, **settings)
    if show_help(text.getvalue(), groups_of(config_type)):
        raise SystemExit(0)


def _refuse_malformed(arguments: Sequence[str]) -> None:
    """Refuse what no option takes: an empty text, a NUL, an option twice (of which the parser would
    take the last in silence).
    """
    seen: set[str] = set()
    before = "an argument"

    for argument in arguments:
        name, equals, value = argument.partition("=")
        is_option = name.startswith("--") and len(name) > 2
        name = name.replace("_", "-")
        if not argument or (is_option and equals and not value):
            _leave(EXIT_USAGE, f"{name or before} must not be empty")
        if "\0" in argument:
            _leave(EXIT_USAGE, f"{name if is_option else before} must not contain a NUL character")
        if name.startswith("--tyro-"):
            _leave(
                EXIT_USAGE,
                f"{name}: a shell completes names of programs, and this one is "
                f"{_program(arguments)}; `retraining completion bash` completes the command "
                "retraining",
            )
        if is_option and name in seen:
            _leave(EXIT_USAGE, f"{name} is given twice; give it once, with all of its values")
        if is_option:
            seen.add(name)
            before = name


def _program(arguments: Sequence[str]) -> str:
    """Return how this process was started: python -m PACKAGE.MODULE, or the script's name, and a
    command such as `plan` before the arguments.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
    before = len(sys.argv) - len(arguments)
    is_end = sys.argv[before:] == list(arguments)
    return " ".join([name, *(sys.argv[1:before] if is_end else ())])


def _first_paragraph(box: str) -> str:
    """The message in the box that tyro draws: what follows its title, down to a rule or the end.

    For an output that is not UTF-8 the box has no frame, and a rule of hyphens below its title.
    """
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│ ")
        is_rule = not text.strip("─╰╯-")
        if is_rule and lines:
            break
        if not is_rule:
            lines.append(text)
    message = re.sub(r"^Error parsing (\w+: )?", "", " ".join(lines)).rstrip(".")
    for pattern, plain in _UNREADABLE:
        option, colon, found = message.partition(": ")
        if colon and (value := re.match(pattern, found)):
            words = [_KINDS.get(word, word) for word in value.groups()]
            return f"{option} {plain.format(*words)}"
    is_incomplete = message.startswith(("Missing ", "Expected one of "))
    return f"{message}; --help explains the options" if is_incomplete else message


def _prepare_streams() -> None:
    """Standard streams that take any text: what the terminal's encoding lacks is replaced by a
    question mark.

    A stream that was closed (`>&-`) becomes the null device.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def _quiet_when_output_is_closed() -> Iterator[None]:
    """Write out what was printed in the block; where nobody reads it, leave with status 1 and
    without a word.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        closed = [stream for stream in (sys.stdout, sys.stderr) if _is_closed(stream)]
        if not closed:
            raise  # another pipe's, of which nothing is known
        for stream in closed:  # or Python itself complains when it flushes at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(EXIT_FAILED) from None


def _is_closed(stream: TextIO) -> bool:
    """Return whether the reader of a pipe has gone."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError, ValueError):  # no poll on Windows; no file behind the stream
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _is_out_of_memory(error: Exception) -> bool:
    """torch has no exception of its own for memory of the processor: a RuntimeError with these
    words.
    """
    words = "out of memory" in str(error) or "allocate memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and words)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _leave(status: int, message: str) -> NoReturn:
    sys.stderr.write(f"error: {printable(' '.join(message.split()), LONGEST_MESSAGE)}\n")
    raise SystemExit(status)


def _one_line_warning(message, category, filename, lineno, file=None, line=None) -> None:
    sys.stderr.write(f"warning: {printable(' '.join(str(message).split()), LONGEST_MESSAGE)}\n")
