"""The parser of the console script: it says what was probably meant, and ends its help with an example."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from lgae_pyg.registry import suggestion

#: Words that may stand in a place of the command line, when they are asked for.
Offer = Callable[[], Iterable[str]]


class CommandParser(argparse.ArgumentParser):
    """A parser of :mod:`argparse` whose errors on options, commands and choices name the nearest one.

    Args:
        example: the line that ends the help.
        arguments: those of :class:`argparse.ArgumentParser`.

    Attributes:
        offers: what completion proposes for an argument beside its choices and files, by the name of the argument.
    """

    def __init__(self, *, example: str = "", **arguments: Any) -> None:
        epilog = f"example:\n  {example}" if example else None
        super().__init__(epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter, **arguments)
        self.offers: dict[str, Offer] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses; unknown words are an error in the parser of the command that they were given to."""
        if args is not None and "-" in self.prefix_chars:
            self._check_options(args)
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"there is no place for {' '.join(unknown)}")
        return known, unknown

    def subcommands(self) -> dict[str, "CommandParser"]:
        """The parsers of the commands below this one, by name."""
        deeper = (one for one in self._actions if isinstance(one, argparse._SubParsersAction))
        return next((dict(one.choices) for one in deeper), {})

    def options(self) -> list[str]:
        """The options, such as ``--out``."""
        return sorted(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Ends with one line that says what is wrong, and status 2."""
        self.exit(2, f"{self.prog}: {message}\n{self.prog} --help shows what there is\n")

    def _check_options(self, words: Sequence[str]) -> None:
        """An unknown option is told before what is missing because of it."""
        for word in words:
            name = word.partition("=")[0]
            if word == "--" or (self.subcommands() and not word.startswith("-")):
                return
            if name.startswith("--") and not any(one.startswith(name) for one in self.options()):
                self.error(f"there is no option {name}{suggestion(name, self.options())}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = f"{suggestion(value, action.choices)}: choose from {', '.join(action.choices)}"
            raise argparse.ArgumentError(action, f"there is no '{value}'{known}")


def names_among(what: str, choices: Iterable[str], *also: str) -> Callable[[str], list[str]]:
    """A type of an option: names with commas between them, each one of the choices; ``all`` stands for all, if it
    is among ``also``."""
    known = list(choices)

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if not names:
            raise argparse.ArgumentTypeError(f"give some of {', '.join([*known, *also])}")
        if names == ["all"] and "all" in also:
            return known
        for name in names:
            if name not in known:
                choices = f"choose one of {', '.join([*known, *also])}{suggestion(name, [*known, *also])}"
                raise argparse.ArgumentTypeError(f"unknown {what} '{name}': {choices}")
        return names

    return parse


def natural(text: str) -> int:
    """A type of an option: a whole number, 0 or more."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def positive(text: str) -> int:
    """A type of an option: a whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def names_of(text: str) -> list[str]:
    """The names in a text with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]
