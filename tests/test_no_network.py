"""What the training process does not do: it opens no socket, and starts no program but Python."""


def test_a_training_opens_no_socket_and_starts_python_only(script):
    script("""
        import os, sys
        seen = []

        def watch(event, arguments):
            if event.startswith("socket.") and event not in ("socket.gethostname", "socket.gethostbyname"):
                seen.append(event)
            elif event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
                program = os.fsdecode(arguments[0])
                if os.path.realpath(program) != os.path.realpath(sys.executable):
                    seen.append(program)

        from sklearn.linear_model import LogisticRegression  # what libraries do when they are imported is theirs
        sys.addaudithook(watch)
        import autotrack
        autotrack.enable(models="always")
        model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        model.score([[0.0]], [0])
        with autotrack.start_run() as run:
            run.log_metrics({"loss": 1.0})
        from autotrack.backends.housekeeping import housekeeper
        assert housekeeper.wait_idle(60)
        assert seen == [], seen
    """)
