"""The command line: overrides, Hydra's own options, clear errors, the configurations that are shipped."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lgae_pyg.cli import main as lgae
from lgae_pyg.config import config_directory
from lgae_pyg.models import build_model, contract_of
from lgae_pyg.training.classes import with_classes
from lgae_pyg.training.command_line import complete, with_task
from lgae_pyg.training.configuration import differences, read_config
from lgae_pyg.training.data import JetDataModule
from lgae_pyg.training.optimization import build_optimizer, build_schedule
from lgae_pyg.training.run import build_module, check_config, train

TAGGERS = [path.stem for path in (config_directory() / "model").glob("*.yaml") if "classif" in path.read_text()]
EXPERIMENTS = [path.stem for path in (config_directory() / "experiment").glob("*.yaml")]
SMALL = ["data=jetnet", "logger=csv", "data.num_particles=6", "model.latent_vectors=2", "model.num_bells=3"]
SMALL += ["trainer.max_epochs=1", "trainer.threads=1"]
CALL = "import sys; from lgae_pyg.cli import main; sys.path.remove(''); raise SystemExit(main(sys.argv[1:]))"
SCRIPT = Path(__file__).parents[2] / "train" / "train.py"


def composed(*words):
    """The resolved configuration of a command line."""
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", [*words, "name=test"], return_hydra_config=False)
    return OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize("words", [[]] + [[f"experiment={name}"] for name in EXPERIMENTS] + [["model=linear"]])
def test_shipped_configurations_are_understood(words):
    config = with_classes(read_config(composed(*words)))
    check_config(config)
    model = build_model(config["model"])
    assert set(config["model"]) == set(model.config)
    if not contract_of(model).closed_form:
        optimizer = build_optimizer(model.parameters(), config["optimizer"])
        build_schedule(optimizer, config["schedule"], 10, config["trainer"]["max_epochs"])


@pytest.mark.parametrize("name", TAGGERS)
def test_taggers_have_defaults_of_their_own(name):
    """Whichever way they are chosen, and the configuration says what is done."""
    config = composed(f"model={name}")
    assert config["loss"]["names"] == ["cross_entropy"] and config["trainer"]["precision"] == "float32"
    assert config["trainer"]["max_epochs"] <= 50 and config["loader"]["batch_size"] <= 128
    assert composed(f"model={name}", "trainer.max_epochs=7")["trainer"]["max_epochs"] == 7


#: The LGAE rows of Tables 2 to 4: aggregation, latent vectors, printed compression in percent.
ROWS = [("min_max", 2, 30.00), ("min_max", 4, 56.67), ("min_max", 7, 96.67), ("mix", 2, 15.00), ("mix", 4, 28.33)]
ROWS += [("mix", 7, 48.33), ("mix", 9, 61.67), ("mix", 13, 88.33)]


@pytest.mark.parametrize(("name", "vectors", "percent"), ROWS)
def test_experiments_are_those_of_the_paper(name, vectors, percent):
    config = composed(f"experiment=lgae_{name}_tau{vectors}")
    assert config["optimizer"]["name"] == "adam" and config["optimizer"]["lr"] == 1e-3
    assert config["trainer"]["patience"] == 200 and config["trainer"]["max_epochs"] == 20000
    assert config["data"]["name"] == "JetNet" and config["data"]["unit"] == "TeV"
    assert config["data"]["fractions"] == [0.6, 0.2, 0.2]
    assert config["trainer"]["precision"] == "float64" and config["warm_start"] is None
    model = config["model"]
    assert (model["latent_vectors"], model["latent_scalars"]) == (vectors, 1)
    assert model["aggregation"] == {"mix": "mix", "min_max": "min&max"}[name]
    assert config["loss"]["names"] == {"mix": ["mse"], "min_max": ["chamfer"]}[name]
    assert build_model(model).compression()["four_vector"] == pytest.approx(percent, abs=0.005)


@pytest.mark.parametrize(("name", "like"), [("lgae_mix_fast", "mix"), ("lgae_min_max_fast", "min&max")])
def test_fast_experiments_take_some_minutes(name, like):
    """Models of the size of the paper's tables, 50,000 generated jets to train on, two cores, a limit of time."""
    config = composed(f"experiment={name}")
    data, trainer, model = config["data"], config["trainer"], config["model"]
    assert data["name"] == "PythiaJets" and len(data["classes"]) * data["jets"] * data["fractions"][0] == 50_000
    assert trainer["max_minutes"] <= 15 and trainer["threads"] == 2
    assert (model["aggregation"], model["latent_vectors"]) in (("mix", 9), ("min&max", 4))
    assert model["aggregation"] == like


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_on_other_data(name):
    """Nothing of the generated jets is left over that another data set would not know."""
    data = composed(f"experiment={name}", "data=jetnet")["data"]
    assert data == composed("data=jetnet")["data"] and data["name"] == "JetNet"


def test_every_experiment_has_its_own_name():
    for name in EXPERIMENTS:
        text = (config_directory() / "experiment" / f"{name}.yaml").read_text()
        assert f"\nname: {name}\n" in text


def test_the_experiments_of_images_and_of_linear_maps():
    published, fast = composed("experiment=cnnae_55"), composed("experiment=cnnae_fast")
    assert (published["optimizer"]["lr"], published["optimizer"]["eps"]) == (1e-3, 1e-7)
    assert (published["trainer"]["patience"], published["trainer"]["max_epochs"]) == (200, 20000)
    assert published["loader"]["batch_size"] == 64 and published["loss"]["weights"] == [1.0]
    assert published["model"]["max_radius"] == 0.8 and published["data"]["name"] == "JetNet"
    assert fast["loss"]["weights"] == [fast["model"]["pixels"] ** 2] and fast["trainer"]["max_minutes"] == 15
    for config in (published, fast):
        assert config["loss"]["space"] == "native" and config["trainer"]["precision"] == "float32"
    linear = composed("experiment=linear_fast")
    assert linear["data"] == fast["data"] and linear["model"]["latent_vectors"] == 9
    for vectors in (4, 9, 13):
        assert composed(f"experiment=linear_tau{vectors}")["model"]["latent_vectors"] == vectors


def test_training_from_the_command_line(jet_files, tmp_path, capfd):
    words = ["train", *SMALL, f"data.root={jet_files}", f"runs={tmp_path}", "name=here", "optimizer.lr=0.25"]
    assert lgae(words) == 0
    assert "Finished (1 epochs are done)" in capfd.readouterr().out
    config = yaml.safe_load((tmp_path / "here" / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == 0.25 and config["model"]["num_particles"] == 6
    assert differences(config, composed(*SMALL, f"data.root={jet_files}")) == ["optimizer.lr: 0.25 -> 0.001"]
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"config.yaml", "metrics.csv", "checkpoints"}
    assert lgae(words) == 0
    assert "already trained" in capfd.readouterr().out
    assert lgae([*words, "optimizer.lr=1"]) == 1
    error = capfd.readouterr().err
    assert "optimizer.lr: 0.25 -> 1" in error and "Traceback" not in error


def test_permission_to_fetch_jets_may_change_when_a_training_goes_on():
    """Runs of before the permission was written down go on, too."""
    before = composed("data=pythia")
    assert before["data"].pop("generate") is True
    assert differences(before, composed("data=pythia", "data.generate=false", "+data.workers=3")) == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("colour=1", "Key 'colour' is not in struct"),
        ("model.colour=1", "Key 'colour' is not in struct"),
        ("+model.colour=1", "LGAE has no argument colour"),
        ("+data.colour=1", "colour"),
        ("model=nothing", "Could not find 'model/nothing'"),
        ("model=lgae_mx", "did you mean lgae_mix?"),
        ("experiment=quickstrat", "did you mean quickstart?"),
        ("trainer.max_epoch=3", "did you mean max_epochs?"),
        ("+trainer.max_epoch=3", "did you mean max_epochs?"),
        ("optimiser.lr=1", "did you mean optimizer?"),
        ("lr=1", "did you mean optimizer.lr?"),
        ("data.classes=g,q", "a list is written data.classes=[g,q]"),
        ("data.max_jets=abc", "data.max_jets=abc is not a whole number"),
        ("data.num_particles=${data.particles}", "'data.particles' not found"),
        ("data.num_particles=null", "set data.num_particles=30, say"),
        ("loss.names=[a", "write key=value"),
        ("model._target_=nowhere.Net", "nowhere.Net"),
        ("data.root=/nowhere", "hdf5"),
    ],
)
def test_errors_say_what_to_mend(jet_files, tmp_path, capfd, word, message):
    words = ["train", *SMALL, f"data.root={jet_files}", f"runs={tmp_path}", "name=wrong", word]
    assert lgae(words) == 1
    error = capfd.readouterr().err
    assert message in error and "Traceback" not in error
    assert len(error.strip().splitlines()) == 1 and "To append to your config" not in error
    assert list(tmp_path.iterdir()) == []


def test_multirun_gives_each_job_its_folder(jet_files, tmp_path, capfd):
    words = ["train", "--multirun", *SMALL, f"data.root={jet_files}", f"runs={tmp_path}", "name=many", "seed=1,2"]
    assert lgae(words) == 0
    for number, seed in (("0", 1), ("1", 2)):
        config = yaml.safe_load((tmp_path / "many" / number / "config.yaml").read_text())
        assert config["seed"] == seed
        assert config["name"] == f"many/{number}" and config["logger"]["group"] == "many"
    assert "2 epochs are done" not in capfd.readouterr().out
    one = ["train", *SMALL, f"data.root={jet_files}", f"runs={tmp_path}", "name=many/1", "seed=2"]
    assert lgae([*one, "trainer.max_epochs=2", "resume=true"]) == 0  # one of them by itself
    assert "Finished (2 epochs are done)" in capfd.readouterr().out


def test_a_multirun_whose_trainings_do_not_begin_leaves_no_folders_of_them(tmp_path, capfd):
    words = ["train", "--multirun", *SMALL, "data.root=/nowhere", f"runs={tmp_path}", "name=many", "seed=1,2"]
    assert lgae(words) == 1
    assert not list(tmp_path.glob("many/[0-9]"))


def test_help_and_configuration_are_shown_by_both_doors(capfd):
    assert lgae(["train", "--help"]) == 0
    assert "lgae_min_max" in capfd.readouterr().out
    assert lgae(["train", "--cfg", "job", "trainer=gpu"]) == 0
    shown = capfd.readouterr().out
    assert yaml.safe_load(shown)["trainer"]["accelerator"] == "gpu"
    command = [sys.executable, str(SCRIPT), "--cfg", "job", "trainer=gpu"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == shown


@pytest.mark.parametrize(
    "word, message",
    [
        ("model.aggregation=minmax", "unknown aggregation 'minmax'"),
        ("loss.names=[msee]", "msee"),
        ("optimizer.name=adm", "optimizer.name=adm is unknown"),
        ("optimizer.lr=abc", "optimizer.lr=abc is not a number"),
    ],
)
def test_wrong_values_are_found_before_any_jet_is_made(word, message):
    with pytest.raises(ValueError, match=message):
        build_module(read_config(composed("experiment=quickstart", word)))


OWN_NET = """
import torch
from lgae_pyg.models import Autoencoder, Latent, Reconstruction

class Net(Autoencoder):
    def __init__(self, width: int, factors: list[float] = (1.0,)):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Linear(width, 4)).double()

    def forward(self, batch):
        p4 = self.layers(batch.pos)
        return Reconstruction(p4=p4, ptr=batch.ptr, latent=Latent(p4[:0], p4[:0]))
"""


@pytest.mark.parametrize("door", [["-c", CALL, "train"], [str(SCRIPT)]])
def test_a_model_of_the_working_folder_is_trained_by_its_name(jet_files, tmp_path, door):
    """Its module is found there, after all others; the keys of the default model are not passed to it."""
    (tmp_path / "my_nets.py").write_text(OWN_NET)
    (tmp_path / "torch.py").write_text("raise RuntimeError('not the real one')")
    words = ["data=jetnet", "logger=csv", f"data.root={jet_files}", "trainer.max_epochs=1"]
    words += ["model._target_=my_nets.Net", "model.width=3", "experiment=linear_tau9", "model.factors=2"]
    done = subprocess.run([sys.executable, *door, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((tmp_path / "runs" / "Net" / "config.yaml").read_text())
    assert config["model"] == {"_target_": "my_nets.Net", "width": 3, "factors": [2]}


MISTAKES = [
    ("my_nets.Nte", r"my_nets.py has no Nte \(did you mean Net\?\)"),
    ("my_net.Net", "No module named 'my_net'.*Python's path"),
    ("nowhere.my_nets.Net", "No module named 'nowhere'"),
    ("Net", "give the class as my_package"),
]


@pytest.mark.parametrize(("target", "message"), MISTAKES)
def test_a_typo_in_the_name_of_a_class_is_told_before_the_long_imports(tmp_path, target, message):
    (tmp_path / "my_nets.py").write_text("raise RuntimeError('imported')\nclass Net: ...")
    program = CALL.replace("raise SystemExit(", "status = ").rstrip(")")
    program += "); print(status, 'torch' in sys.modules)"
    command = [sys.executable, "-c", program, "train", f"model._target_={target}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "False"], done.stderr
    assert re.fullmatch(f"lgae train: model '{target}'.*{message}.*\n", done.stderr)


def test_a_wrong_loss_or_task_is_told_before_any_jet_is_looked_for(config, monkeypatch, tmp_path, tiny):
    monkeypatch.setattr(JetDataModule, "__init__", lambda *_, **__: pytest.fail("jets were looked for"))
    with pytest.raises(ValueError, match=r"unknown loss 'chamfr'.*did you mean chamfer"):
        train(config | {"loss": {"names": ["chamfr"]}}, tmp_path / "run")
    monkeypatch.setattr(tiny, "task", "regression", raising=False)
    with pytest.raises(ValueError, match="unknown task 'regression'"):
        train(config, tmp_path / "run")


def test_words_are_completed_only_where_that_is_needed():
    words = ["experiment=quickstart", "model.latent_vectors=4", "--cfg", "job", "data.classes=[g,q]", "a=${b}"]
    words += ["x=1,2"]
    assert complete(words) == (words, set())
    chosen = ["model=own", "name=mine", "model._target_=a.B", "model.width=2"]
    assert complete(chosen) == (["model=own", "name=mine", "++model._target_=a.B", "++model.width=2"], set())
    data, own = complete(["data._target_=a.Jets", "data.root=x", "model.scale=1"])
    assert data == ["data=own", "++data._target_=a.Jets", "++data.root=x", "model.scale=1"] and own == {"data"}


def test_a_value_with_special_characters_is_understood():
    words, _ = complete(["model=lgae_min_max", "model.aggregation=min&max"])
    assert composed(*words)["model"]["aggregation"] == "min&max"
    words, _ = complete(["runs=a 'b' & c"])
    assert composed(*words)["runs"] == "a 'b' & c"


def test_the_task_of_a_model_of_ones_own_stands_among_its_like():
    """Hydra reads no words behind options that are apart from the others."""
    words = ["--multirun", "name=x", "++model._target_=lgae_pyg.models.PFN", "seed=1,2"]
    assert with_task(words) == [*words[:2], "task=classification", *words[2:]]
    assert with_task([*words, "task=reconstruction"]) == [*words, "task=reconstruction"]


def test_jobs_of_slurm_are_submitted_again_before_their_time_is_up():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        words = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "name=scan"]
        launcher = compose("train", words, return_hydra_config=True).hydra.launcher
    assert launcher["_target_"].endswith("SlurmLauncher") and launcher.partition == "gpu"
    assert launcher.max_num_timeout > 1 and launcher.signal_delay_s >= 120


def test_the_sweep_file_calls_a_training_that_composes(monkeypatch, jet_files, tmp_path):
    """The command line is built by W&B's own functions, as its agent does it."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = yaml.safe_load((config_directory() / "sweep.yaml").read_text())
    choices = {}
    for key, values in sweep["parameters"].items():
        choices[key] = {"value": values["values"][0] if "values" in values else values["min"]}
    arguments = create_sweep_command_args({"args": choices})
    arguments |= {"program": [sweep["program"]], "env": ["/usr/bin/env"]}
    command = []
    for word in create_sweep_command(list(sweep["command"])):
        whole = word.startswith("${") and word.endswith("}")
        command += arguments[word[2:-1]] if whole else [word]
    assert command[:3] == ["/usr/bin/env", "lgae", "train"]
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep7")
    folders = []
    for run in ("run1", "run2"):
        monkeypatch.setenv("WANDB_RUN_ID", run)
        words = [*command[2:], *SMALL[:2], "model.num_bells=3", *SMALL[4:], f"data.root={jet_files}"]
        words += [f"runs={tmp_path}", "loader.epoch_jets=null", "trainer.progress=false"]
        assert lgae(words) == 0
        folders.append(tmp_path / "sweep" / "sweep7" / run)
        config = yaml.safe_load((folders[-1] / "config.yaml").read_text())
        assert config["optimizer"]["lr"] == choices["optimizer.lr"]["value"]
        assert config["model"]["encoder_channels"] == choices["model.encoder_channels"]["value"]
    assert sweep["metric"]["name"] == "best/val/loss" and sweep["metric"]["goal"] == "minimize"
