"""Suites that authors of plugins subclass. They need pytest, and are imported by tests only."""
