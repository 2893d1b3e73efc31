"""What a configuration must not choose is refused, and whatever is wrong with one is one error."""

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import hydra as internal
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig

from pipeline.config import composing
from pipeline.config.compose import CONF, register
from pipeline.errors import UserError


def composed(*words: str, monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    register()
    # Put back when the test ends.
    monkeypatch.setattr(internal, "ConfigLoaderImpl", internal.ConfigLoaderImpl)
    composing.install()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", [*words], return_hydra_config=True)


def test_our_own_configuration_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in ([], ["hydra/job_logging=default"], ["hydra/job_logging=none"]):
        found = composed(*words, monkeypatch=monkeypatch)
        assert found.hydra.callbacks.failures._target_ == "pipeline.command.failures.Collect"


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_hydras_launchers_are_taken(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    found = composed(f"hydra/launcher={launcher}", monkeypatch=monkeypatch)
    assert found.hydra.launcher._target_.endswith("Launcher")


@pytest.mark.parametrize(
    "word",
    [
        "+hydra.callbacks.x._target_=os.abort",
        "hydra.callbacks.failures._target_=os.abort",
        "hydra.launcher._target_=hydra_plugins.mine.Launcher",
        "hydra.sweeper._target_=os.abort",
        "hydra.job_logging.handlers.console.class=os.abort",
        "+hydra.job_logging.filters=[{class: os.abort}]",
        "hydra.job_logging.handlers.console.stream='ext://os.abort'",
        "hydra.sweeper._target_='${oc.env:HOME}'",
    ],
)
def test_code_is_not_chosen(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"is refused: a configuration must not choose code"):
        composed(word, monkeypatch=monkeypatch)


def test_errors_of_every_kind_are_hydras(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigCompositionException, match="must be a string or a list"):
        composed("method=null", monkeypatch=monkeypatch)
