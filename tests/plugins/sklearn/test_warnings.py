"""The libraries' own warnings are shown as without us: the same texts, at the same lines, as often."""


def test_warnings_of_fits_and_metrics_are_shown_as_without_us(script):
    code = """
        import sys, warnings
        import autotrack
        if sys.argv[1] == "on":
            autotrack.enable(store="store", models="never")
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import accuracy_score, precision_score, r2_score
        from sklearn.preprocessing import KBinsDiscretizer

        X, y = load_iris(return_X_y=True)
        warnings.simplefilter("default")
        for _ in range(2):
            precision_score([0, 1], [0, 0])
            precision_score([0, 1], [0, 0])
            r2_score([1.0], [1.0])
            LogisticRegression(max_iter=2).fit(X, y)
            LogisticRegression(max_iter=2).fit(X, y)
            KBinsDiscretizer(5, strategy="kmeans").fit(X[:, :1] * 0)
            model = LogisticRegression(max_iter=500).fit(X, y)
            model.score(X, y)
    """
    plain, recorded = (script(code, mode).stderr for mode in ("off", "on"))
    assert recorded == plain
    for word in ("UndefinedMetricWarning", "ConvergenceWarning", "UserWarning: Feature 0 is constant"):
        assert word in plain
