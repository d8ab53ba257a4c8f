"""What the tests of patches wrap, and a handler that remembers."""


class Model:
    """A framework's model."""

    def fit(self, X, *, scale=1):
        """Fit it."""
        self.fitted_ = X * scale
        return self

    @classmethod
    def build(cls, size):
        return cls, size

    @staticmethod
    def add(a, b):
        return a + b

    @property
    def size(self):
        """How big."""
        return 5

    @size.setter
    def size(self, value):
        self.set_to = value


RAW = dict(vars(Model))


class Recorder:
    """An around handler that remembers what it saw."""

    def __init__(self):
        self.calls = []

    def __call__(self, call):
        outcome = yield
        self.calls.append((call, outcome))

    @property
    def values(self):
        return [outcome.value for _, outcome in self.calls]


def raises_after(call):
    yield
    raise ValueError("ours")
