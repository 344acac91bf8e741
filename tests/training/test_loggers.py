"""Weights & Biases: offline without a login, one run over interruptions, never needed."""

import builtins
import csv
import http.server
import os
import signal
import socket
import sys
import threading
import warnings

import pytest

from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.training import ReconstructionTask, train
from lgae_pyg.training.keep import RUN_STATE
from lgae_pyg.training.loggers import RunLogger, has_wandb_key, run_arguments, start, wandb_mode
from lgae_pyg.training.run import DONE, INTERRUPTED


@pytest.fixture
def no_login(monkeypatch, tmp_path):
    """A user who has never logged in to W&B."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path


def test_mode_follows_login_and_environment(no_login, monkeypatch):
    assert wandb_mode() == "offline"
    (no_login / "netrc").write_text("machine api.wandb.ai login user password " + "0" * 40)
    assert has_wandb_key() and wandb_mode() == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_wandb_key()
    monkeypatch.setenv("WANDB_MODE", "online")
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_mode() == "online"
    for mode in ("offline", "disabled"):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert wandb_mode() == mode


def test_offline_run_keeps_its_id_over_an_interruption(config, no_login, monkeypatch):
    folder = no_login / "run"
    config["logger"] = {"wandb": True, "project": "test", "panels_every": 2}
    step = ReconstructionTask.training_step

    def training_step(module, batch, batch_idx):
        if module.trainer.global_step == 8 and not (folder / "stopped").exists():
            (folder / "stopped").touch()
            os.kill(os.getpid(), signal.SIGTERM)
        return step(module, batch, batch_idx)

    monkeypatch.setattr(ReconstructionTask, "training_step", training_step)
    assert train(config, folder) == INTERRUPTED
    first = read_checkpoint(folder / "checkpoints" / "last.ckpt")[RUN_STATE]["wandb_id"]
    assert train(config, folder) == DONE
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")[RUN_STATE]["wandb_id"] == first
    runs = [path.name for path in (folder / "wandb").iterdir() if path.name.startswith("offline-run-")]
    # offline-run-TIME-ID, and a number behind it where both began in the same second
    assert len(runs) == 2 and {name.split("-")[3] for name in runs} == {first}
    pictures = (folder / "wandb").glob("offline-run-*/files/media/images/jets/*")
    assert {path.name.split("_")[0] for path in pictures} == {"images", "residuals"}


def test_without_wandb_the_csv_file_is_enough(config, no_login, monkeypatch):
    real = builtins.__import__

    def without_wandb(name, *arguments, **more):
        if name == "wandb":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_wandb)
    config["logger"] = {"wandb": True}
    with pytest.warns(UserWarning, match=r"pip install 'lgae-pyg\[wandb\]'"):
        assert train(config, no_login / "run") == DONE
    with open(no_login / "run" / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_a_login_is_looked_for_at_the_server_of_the_settings(no_login, monkeypatch):
    """`wandb login --host` writes the server to a settings file and the key, under host and port, to netrc."""
    (no_login / "netrc").write_text("machine wandb.example.org:8080 login user password " + "0" * 40)
    assert wandb_mode() == "offline"
    settings = no_login / "home" / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.example.org:8080\n")
    assert wandb_mode() == "online"
    monkeypatch.chdir(no_login)
    (no_login / "wandb").mkdir()
    (no_login / "wandb" / "settings").write_text("[default]\nmode = offline\n")  # `wandb offline`
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert wandb_mode() == "online"
    settings.write_text("no settings at all")
    assert wandb_mode() == "offline"


def test_configuration_stands_above_environment_and_that_above_defaults(no_login, monkeypatch):
    variables = {
        "project": "WANDB_PROJECT",
        "entity": "WANDB_ENTITY",
        "group": "WANDB_RUN_GROUP",
        "job_type": "WANDB_JOB_TYPE",
        "name": "WANDB_NAME",
        "dir": "WANDB_DIR",
        "id": "WANDB_RUN_ID",
    }

    def chosen(config, run_id=None):
        import wandb

        wandb.teardown()
        arguments = run_arguments(config, no_login / "run", "here", run_id)
        run = wandb.init(**arguments, mode="offline", settings=wandb.Settings(console="off", silent=True))
        values = {key: getattr(run, key) for key in variables if key != "dir"}
        values["dir"] = run.settings.root_dir
        run.finish()
        return values

    (no_login / "elsewhere").mkdir()
    (no_login / "run").mkdir()
    default = chosen({})
    assert (default["project"], default["name"], default["dir"]) == ("lgae_pyg", "here", str(no_login / "run"))
    for key, variable in variables.items():
        monkeypatch.setenv(variable, str(no_login / "elsewhere") if key == "dir" else f"my-{key}")
    from_environment = chosen({})
    assert from_environment == {key: os.environ[variable] for key, variable in variables.items()}
    config = {key: f"own-{key}" for key in ("project", "entity", "group", "job_type")}
    assert chosen(config, "continued") == {**from_environment, **config, "id": "continued"}


class Refuses(http.server.BaseHTTPRequestHandler):
    """Answers everything with an internal error."""

    def do_POST(self):
        self.send_response(500)
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *arguments):
        pass


@pytest.fixture(params=["refuses", "silent", "fails"])
def server(request):
    """The address of a server that refuses connections, never answers, or answers with HTTP 500."""
    if request.param == "fails":
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as serving:
            threading.Thread(target=serving.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{serving.server_port}"
            serving.shutdown()
        return
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if request.param == "silent":
            listening.listen(50)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_cannot_be_reached_leaves_the_run_offline(config, no_login, monkeypatch, server):
    import wandb

    wandb.teardown()  # its settings were read when it was first used in this process
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    config["logger"] = {"wandb": True}
    folder = no_login / "run"
    with pytest.warns(UserWarning, match="kept offline"):
        assert train(config, folder) == DONE
    (offline,) = (folder / "wandb").glob("offline-run-*")
    assert offline.name.endswith(read_checkpoint(folder / "checkpoints" / "last.ckpt")[RUN_STATE]["wandb_id"])
    wandb.teardown()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("?"), SystemExit(1)])
@pytest.mark.parametrize("broken", [("online",), ("online", "offline")])
def test_whatever_wandb_init_raises_does_not_stop_a_training(no_login, monkeypatch, error, broken):
    import wandb

    tried = []

    def init(mode, **arguments):
        tried.append(mode)
        if mode in broken:
            raise error
        return mode

    monkeypatch.setattr(wandb, "init", init)
    with pytest.warns(UserWarning) as caught:
        assert start({}, "online") == (None if "offline" in broken else "offline")
    assert tried == ["online", "offline"]
    assert ["kept offline" in str(one.message) for one in caught] == [True, False][: len(broken)]
    assert ("metrics.csv only" in str(caught[-1].message)) == ("offline" in broken)


def test_ctrl_c_while_wandb_starts_is_ctrl_c(monkeypatch):
    import wandb

    def init(**arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(KeyboardInterrupt):
        start({}, "online")


def test_a_run_that_fails_while_training_costs_one_warning(config, no_login, monkeypatch):
    import wandb

    def fail(*arguments, **more):
        raise OSError(28, "No space left on device")

    for name in ("log", "finish", "define_metric"):
        monkeypatch.setattr(wandb.Run, name, fail)
    config["logger"] = {"wandb": True, "panels_every": 3}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert train(config, no_login / "run") == DONE
    assert sum("No space left" in str(one.message) for one in caught) == 1
    with open(no_login / "run" / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 4
    monkeypatch.undo()
    wandb.teardown()


class FakeRun:
    """Keeps what a W&B run is told, and drops rows that go back, as W&B does."""

    def __init__(self, step=0):
        self.step, self.rows, self.summary, self.id, self.project = step, [], {}, "id", "test"

    def log(self, values, step, commit):
        if step >= self.step:
            self.rows.append((step, values))
            self.summary |= values
            self.step = step + 1

    def define_metric(self, *arguments, **more):
        pass


def test_steps_go_on_after_a_resumption_and_the_best_is_in_the_summary(config, no_login, monkeypatch):
    """Also with pictures between the rows, and with an offline run, whose own count begins anew."""
    runs = []
    monkeypatch.setattr("lgae_pyg.training.loggers.start", lambda *arguments: runs.append(FakeRun()) or runs[-1])
    monkeypatch.setattr(FakeRun, "finish", lambda self, exit_code: None, raising=False)
    config["logger"] = {"wandb": True, "panels_every": 2}
    for epochs in (1, 3):
        config["trainer"]["max_epochs"] = epochs
        assert train(config, no_login / "run") == DONE
    steps = [step for run in runs for step, values in run.rows]
    assert len(runs) == 2 and steps == sorted(set(steps))
    with open(no_login / "run" / "metrics.csv") as file:
        written = [(int(row["step"]), float(row["val/loss"])) for row in csv.DictReader(file)]
    rows = [values for run in runs for _, values in run.rows if "val/loss" in values]
    assert [(row["trainer/global_step"], row["val/loss"]) for row in rows] == written
    best = min(written, key=lambda row: row[1])
    assert runs[-1].summary["best/val/loss"] == best[1] and runs[-1].summary["best/epoch"] == written.index(best)
    assert runs[-1].summary["parameters"] == 20


def test_a_worse_epoch_after_a_resumption_is_not_called_best(no_login, config):
    train(config, no_login / "run")
    run = FakeRun()
    best = no_login / "run" / "checkpoints" / "best.ckpt"
    logger = RunLogger(run, best)
    logger.log_metrics({"epoch": 9, "val/loss": 1e9}, step=99)
    assert run.summary["best/epoch"] < 9 and run.summary["best/val/loss"] < 1e9


def test_size_of_model_and_code_are_in_the_summary(no_login):
    from lgae_pyg.models import LinearAE

    run = FakeRun()
    model = LinearAE(latent_vectors=9, num_particles=30)
    RunLogger(run).describe(model)
    assert run.summary["latent_size"] == model.latent_size
    assert run.summary["compression/four_vector"] == model.compression()["four_vector"]
