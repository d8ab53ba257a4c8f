"""The test to copy: the patch contract, and a value checked against the framework's own result."""

import numpy
from scipy.optimize import curve_fit

import autotrack
from autotrack.testing.fixtures import tracked  # noqa: F401  a fixture is found by its name
from autotrack.testing.integration_suite import IntegrationSuite


class TestContract(IntegrationSuite):
    """The ten points, in processes of their own."""

    integration = "example"
    modules = ("scipy.optimize",)
    patched = ("scipy.optimize:curve_fit",)
    source = """
        import numpy
        import scipy.optimize

        def line(x, slope, offset):
            return slope * x + offset

        def train():
            x = numpy.arange(5.0)
            return scipy.optimize.curve_fit(line, x, 2 * x + 1)[0].round(6).tolist()
    """


def test_a_fit_is_recorded(tracked):  # noqa: F811
    """``curve_fit`` was imported before autotrack was enabled."""
    x = numpy.linspace(0, 4, 20)
    found, _ = curve_fit(lambda x, a, b: a * x + b, x, 2 * x + 1, p0=(1.0, 0.0))
    (run,) = autotrack.runs()
    assert run.metrics["p0"] == found[0]
    assert run.metrics["p1"] == found[1]
    assert run.params["p0"] == [1.0, 0.0]
    assert run.facts["data"]["xdata"]["shape"] == [20]
