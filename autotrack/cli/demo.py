"""``autotrack demo``: real trainings, recorded, listed and loaded back."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
import warnings
from pathlib import Path

import click
from rich.console import Console

import autotrack
from autotrack.display import runs_table

__all__ = ["demo", "train"]


def train() -> None:
    """What a user's script does; nothing in it is about tracking but the scores it chooses to log."""
    from sklearn.datasets import load_breast_cancer, load_digits, load_wine
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for load in (load_wine, load_breast_cancer, load_digits):
        X, y = load(return_X_y=True)
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
        for model in (
            make_pipeline(StandardScaler(), LogisticRegression(C=0.5)),
            RandomForestClassifier(n_estimators=50, oob_score=True, random_state=0),
            HistGradientBoostingClassifier(max_iter=30, random_state=0),
            make_pipeline(StandardScaler(), MLPClassifier(max_iter=40, random_state=0)),
        ):
            model.fit(X_train, y_train)
            autotrack.set_tags({"data": load.__name__.removeprefix("load_")})
            autotrack.log_metrics({"accuracy": model.score(X_test, y_test)})


@click.command()
@click.option("--folder", default="autotrack-demo", show_default=True, help="Where the store is made.")
def demo(folder: str) -> None:
    """Train a dozen models on scikit-learn's own data sets, list the runs, load the best one back."""
    try:
        import sklearn.datasets
    except ImportError:
        click.echo("The demo trains with scikit-learn: pip install 'autotrack-ml[sklearn]'", err=True)
        sys.exit(1)
    screen = Console(highlight=False)
    screen.print("[bold]The script[/], with `autotrack.enable()` before it:\n")
    screen.print(inspect.getsource(train), markup=False, soft_wrap=True)
    autotrack.enable(store=Path(folder) / ".autotrack", experiment="demo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forty iterations are too few for the MLP, and enough for a demo
        train()

    screen.print("[bold]What was recorded:[/]\n")
    screen.print(runs_table(autotrack.runs(), screen.width))
    best = autotrack.get_run("@max:accuracy")
    screen.print(f"\n[bold]The best one, loaded back[/] (no pickle, no trust asked): {best.name}\n")
    model = autotrack.load_model(best.id)
    data = getattr(sklearn.datasets, f"load_{best.tags['data']}")()
    screen.print(f"  first predictions on {best.tags['data']}: {model.predict(data.data[:10]).tolist()}", markup=False)
    screen.print(f"  the labels:           {' ' * len(best.tags['data'])}{data.target[:10].tolist()}", markup=False)
    command = _command(folder)
    screen.print(
        f"\n[bold]Try next[/]\n\n"
        f"  cd {folder}\n"
        f"  {command} ls                   the runs\n"
        f"  {command} show @max:accuracy   all about the best one\n"
        f"  {command} show {best.id[-10:-4]} --json\n\n"
        f"and in a script of yours:  import autotrack; autotrack.enable()",
        soft_wrap=True,
    )


def _command(folder: str) -> str:
    """How to call us from the demo's folder: by name, or by path where we are in no folder of PATH."""
    if shutil.which("autotrack"):
        return "autotrack"
    called = Path(sys.argv[0])
    return "python -m autotrack" if called.name == "__main__.py" else os.path.relpath(called, folder)
