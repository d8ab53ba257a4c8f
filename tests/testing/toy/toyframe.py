"""A framework as small as one can be: a class that trains, and a function that people import by name."""

__version__ = "1.0"


class Data:
    """What a model is trained on."""

    def __init__(self, values):
        self.values = values


class Model:
    """Learns the mean."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)

    def fit(self, data, *, weight=1.0):
        """Train."""
        self.mean_ = weight * sum(data.values) / len(data.values)
        return self

    def predict(self, data):
        """The mean, for each value."""
        return [self.mean_ for _ in data.values]


def tune(data):
    """The better of two models."""
    return min((Model().fit(data, weight=weight) for weight in (0.9, 1.1)), key=lambda model: model.mean_)
