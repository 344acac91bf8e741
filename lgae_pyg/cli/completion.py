"""``lgae completion``: what bash and zsh propose for the word at the cursor, from the parsers themselves."""

import argparse
import glob
import os
import re
from collections.abc import Iterable

from lgae_pyg.cli.parser import CommandParser
from lgae_pyg.places import config_groups, config_names

BASH = """\
# Completion of lgae for bash: source <(lgae completion bash)
_lgae() {
    local IFS=$'\\n'
    COMPREPLY=($(lgae completion bash --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} == 1 && $COMPREPLY == *[=/] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _lgae lgae
"""
ZSH = """\
#compdef lgae
# Completion of lgae for zsh: source <(lgae completion zsh)
_lgae() {
    local -a words_there
    words_there=(${(f)"$(lgae completion zsh --line "$LBUFFER" 2>/dev/null)"})
    compadd -S '' -a -M 'r:|=* l:|=*' words_there
    compset -P '*='
    _files
}
compdef _lgae lgae
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH}


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), metavar="SHELL", help="bash or zsh")
    parser.add_argument("--line", help="words up to the cursor: say what may come there (the script asks this)")


def run(options: argparse.Namespace) -> int:
    """Prints the script, or what may come at the end of a line."""
    if options.line is None:
        print(SCRIPTS[options.shell], end="")
        return 0
    words = proposals(options.line)
    if options.shell == "bash":  # to which = ends a word
        words = [word.rpartition("=")[2] or word for word in words]
    print("\n".join(words))
    return 0


def proposals(line: str) -> list[str]:
    """What the last word of a command line may become; empty where it is a path alone, which shells know better.

    Args:
        line: the line from its beginning to the cursor; behind a blank, a new word begins.
    """
    from lgae_pyg.cli import build_parser

    *words, current = re.split(r"\s+", line.lstrip())
    parser, words = build_parser(words[1] if len(words) > 1 else None), words[1:]
    while words and words[0] in parser.subcommands():
        parser, words = parser.subcommands()[words[0]], words[1:]
    if parser.prog == "lgae train":
        return _begin_with(current, _of_training(current))
    before = ""
    argument = _argument(parser, words)
    if current.startswith("--") and "=" in current:
        name, _, current = current.partition("=")
        argument, before = parser._option_string_actions.get(name), f"{name}="
    elif current.startswith("-"):
        return _begin_with(current, parser.options())
    if argument is None:
        return [] if words else _begin_with(current, parser.subcommands())
    offer = parser.offers.get(argument.dest)
    first, comma, last = current.rpartition(",")
    words = [first + comma + word for word in _begin_with(last, argument.choices or (offer() if offer else ()))]
    if offer and argument.dest in ("model", "source"):
        words += [path + "/" * os.path.isdir(path) for path in sorted(glob.glob(f"{glob.escape(current)}*"))]
    return [before + word for word in words]


def _begin_with(start: str, words: Iterable[str]) -> list[str]:
    return sorted({str(word) for word in words if str(word).startswith(start)})


def _argument(parser: CommandParser, words: list[str]) -> argparse.Action | None:
    """The argument that the word after these belongs to."""
    options = parser._option_string_actions
    places = [one for one in parser._get_positional_actions() if not isinstance(one, argparse._SubParsersAction)]
    number, waiting = 0, None
    for word in words:
        if waiting is not None:
            waiting = None
        elif word in options:
            waiting = options[word] if options[word].nargs != 0 else None
        elif not word.startswith("-"):
            number += 1
    return waiting or (places[min(number, len(places) - 1)] if places else None)


def _of_training(current: str) -> list[str]:
    """Words of ``lgae train``: the groups of configurations, and in a group its names."""
    from lgae_pyg.training.command_line import FLAGS

    group, equals, _ = current.partition("=")
    if equals:
        return [f"{group}={name}" for name in config_names(group)]
    return [*FLAGS, *(f"{group}=" for group in config_groups())]
