"""The words of ``lgae train``: completed before Hydra reads them, and its errors explained."""

import re
import textwrap
from collections.abc import Sequence

from lgae_pyg.config import config_directory
from lgae_pyg.files import first_line
from lgae_pyg.places import check_inputs, config_groups, config_names
from lgae_pyg.registry import check_target, locate, suggestion

#: Groups of which a user may bring a class of their own, by ``GROUP._target_=my_package.MyClass``.
OWN = ("model", "data")
#: Options of Hydra, beside the overrides.
FLAGS = ("--help", "--hydra-help", "--cfg", "--resolve", "--package", "--run", "--multirun", "--info", "--version")
FLAGS += ("--config-dir", "--config-name", "--config-path", "--experimental-rerun", "--shell-completion")
HELP = """\
usage: {program} [KEY=VALUE ...] [--cfg job] [--multirun] [--config-dir DIR]

Train a model from a Hydra configuration. A group is chosen by GROUP=NAME:

{groups}

and any value is set by KEY=VALUE, such as trainer.max_epochs=5 optimizer.lr=5e-4. {folder}/train.yaml explains
the keys. All configurations of a folder of your own are found with --config-dir DIR.

  --cfg job     show the composed configuration, and train nothing
  --multirun    train with each of several values: seed=1,2,3
  --hydra-help  more options of Hydra

example:
  {program} experiment=lorentz_net data=files data.path=JETS.parquet name=mine
"""


def help_text(program: str) -> str:
    """The help of ``lgae train``."""
    groups = {group: ", ".join(config_names(group)) for group in config_groups()}
    lines = (textwrap.fill(f"{group}={names}", 110, initial_indent="  ", subsequent_indent="    ")
             for group, names in groups.items())  # fmt: skip
    return HELP.format(program=program, groups="\n".join(lines), folder=config_directory())


def check_flags(words: Sequence[str]) -> str | None:
    """What is wrong with the first word that looks like an option and is none; ``None`` if all is well."""
    for word in words:
        flag = word.partition("=")[0]
        if flag.startswith("--") and not any(known.startswith(flag) for known in FLAGS):
            return f"there is no option {flag}{suggestion(flag, FLAGS)}; values are set by KEY=VALUE"
    return None


def check_names(words: Sequence[str]) -> None:
    """Raises an error for configurations and jets that are not there, as far as that shows without Hydra.

    Raises:
        ValueError: no configuration of a group has that name.
        FileNotFoundError: there are no such jets (of ``data=files``).
    """
    if any(re.match(r"--config|-c[dpn]$|-cd|hydra\.searchpath", word) for word in words):
        return  # there are others
    groups = config_groups()
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if key in groups and re.fullmatch(r"[\w-]+", value) and value not in ("null", *config_names(key)):
            raise ValueError(_no_config(f"{key}/{value}", config_names(key)))
        if key == "data.path" and "data=files" in words and not re.search(r"[\[\]{}$,'\"\\]", value):
            check_inputs(files=[value])


def check_targets(words: Sequence[str]) -> None:
    """Raises :class:`ValueError` for a class that is not there, as far as that shows before the long imports."""
    for word in words:
        if match := re.fullmatch(r"\+*(\w+)\._target_=([\w.]+)", word):
            check_target(*match.groups())


def complete(words: Sequence[str]) -> tuple[list[str], set[str]]:
    """Completes the words of a command line.

    A value that Hydra's grammar does not understand, such as ``min&max``, is quoted. With ``model._target_=...``
    and no ``model=...`` the group is ``own``, the training is named after the class, and the other
    ``model.key=value`` are the arguments of the class, whatever they are; ``data._target_=...`` likewise.

    Returns:
        The words, and the groups that were set to ``own`` here.
    """
    words = [_quoted(word) for word in words]
    implied = set()
    for group in OWN:
        target = re.compile(rf"\+*{group}\._target_=(.*)")
        place = next((place for place, word in enumerate(words) if target.match(word)), None)
        if place is None:
            continue
        name = target.match(words[place])[1].rpartition(".")[2]
        words = [f"++{word}" if word.startswith(f"{group}.") else word for word in words]
        more = []
        if not _has(words, group):
            implied.add(group)
            more.append(f"{group}=own")
        if group == "model" and name.isidentifier() and not _has(words, "name"):
            more.append(f"name={name}")
        words[place:place] = more
    return words, implied


def with_task(words: Sequence[str]) -> list[str]:
    """Words that choose, unless they do so themselves, the defaults of the task that a model of the user's own
    (``model._target_=...``) is made for; its module is imported.

    Raises:
        ValueError: there is no such class.
    """
    matches = [re.fullmatch(r"\+*model\._target_=([\w.]+)", word) for word in words]
    places = [place for place, match in enumerate(matches) if match]
    if not places or _has(words, "task"):
        return list(words)
    task = getattr(locate("model", matches[places[-1]][1], object), "task", None)
    chosen = [] if task is None else [f"task={task}"]
    return [*words[: places[0]], *chosen, *words[places[0] :]]  # among its like: options may stand before them


def given(words: Sequence[str], group: str) -> set[str]:
    """Returns the keys of a group that words set, such as ``width`` for ``++model.width=16``."""
    keys = (re.match(rf"\+*{group}\.([^.=]+)", word) for word in words)
    return {key[1] for key in keys if key}


def explain(error: Exception) -> str:
    """Returns a line on what is wrong with a command line, with the names that were probably meant."""
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(error, MissingConfigException) and error.options:
        return _no_config(str(error.missing_cfg_file), error.options)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be read ({first_line(error)}): write key=value, [a,b] for a list, and a "
            "value with special characters in quotes within quotes: 'key=\"a & b\"'"
        )
    if ambiguous := re.match(r"Ambiguous value for argument '(.*?)=(.*)'", str(error)):
        key, values = ambiguous.groups()
        return f"{key}={values}: a list is written {key}=[{values}]; with --multirun each of the values is tried"
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        text = f"{cause.full_key}: {first_line(cause)}"
        if "not in struct" in text:
            return text + _known(cause)
        return f"{text}: set that, or {cause.full_key}" if "Interpolation key" in text else text
    return first_line(error)


def _no_config(missing: str, options: Sequence[str]) -> str:
    group, _, name = missing.rpartition("/")
    return f"Could not find '{missing}': {group} can be {', '.join(options)}{suggestion(name, options)}"


def _has(words: Sequence[str], key: str) -> bool:
    return any(re.match(rf"\+*{key}(@[^=]*)?=", word) for word in words)


def _quoted(word: str) -> str:
    """Quotes the value of an override, if Hydra can read it only so."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, equals, value = word.partition("=")
    if not equals or word.startswith("-") or value[:1] in ("", "[", "{", "'", '"'):
        return word
    quoted = f"""{key}='{value.replace("'", chr(92) + "'")}'"""
    for attempt in (word, quoted):
        try:
            OverridesParser.create().parse_override(attempt)
            return attempt
        except HydraException:
            continue
    return word


def _known(error: Exception) -> str:
    """The keys beside one that does not exist, and the one that was probably meant, there or in another group."""
    from omegaconf import OmegaConf

    from lgae_pyg.training.configuration import flatten

    node, key = error.parent_node, str(error.key)
    if node is None:
        return ""
    names = [str(name) for name in node if name != "hydra"]
    meant = suggestion(key, names)
    if not meant:
        leaves = {leaf.rpartition(".")[2]: leaf for leaf in flatten(OmegaConf.to_container(node._get_root()))}
        leaves = {name: leaf for name, leaf in leaves.items() if not leaf.startswith("hydra.")}
        last = error.__dict__.get("full_key", key).rpartition(".")[2]
        meant = f" (did you mean {leaves[last]}?)" if last in leaves else ""
    group = str(error.full_key).rpartition(".")[0] or "the configuration"
    return f": {group} has {', '.join(names)}{meant}"
