"""What all tests share: how many trainings they make."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="train every method, with five seeds; some minutes more")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole: a training much like others that are always made; run with --whole")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--whole"):
        left_out = [item for item in items if item.get_closest_marker("whole")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("whole")]


@pytest.fixture(scope="session")
def seeds(request: pytest.FixtureRequest) -> range:
    """Of trainings whose outcome depends on chance a little: two, and five with ``--whole``."""
    return range(5 if request.config.getoption("--whole") else 2)
