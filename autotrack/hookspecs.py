"""Every hook that a plugin may implement.

A plugin is a module (or object) named by an entry point of the group ``autotrack``; it marks functions
with ``autotrack.hookimpl``. Arguments are only ever added to hooks. Each hook is described in one form:
what it is for, what is returned, when and where it is called, and what happens if it raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from autotrack.integration import Integration
    from autotrack.models import ModelFormat
    from autotrack.remote import Offer

__all__ = ["autotrack_integrations", "autotrack_model_formats", "autotrack_remotes", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("autotrack")
hookimpl = pluggy.HookimplMarker("autotrack")


@hookspec
def autotrack_integrations() -> list[Integration]:  # type: ignore[empty-body]
    """Offer integrations.

    Returns: New ``Integration`` objects; the framework must not be imported for making them.
    Called: Once, at the first ``enable()``, on the thread that calls it.
    If it raises: The error is logged once, naming the plugin; other plugins are not affected.
    """


@hookspec
def autotrack_model_formats() -> list[ModelFormat]:  # type: ignore[empty-body]
    """Offer formats to keep models in.

    Returns: ``ModelFormat`` objects; the framework must not be imported for making them.
    Called: Once, when a run is first started or a model first loaded, on the thread that does so; and once in
        the helper process.
    If it raises: The error is logged once, naming the plugin; other plugins are not affected.
    """


@hookspec
def autotrack_remotes() -> list[Offer]:  # type: ignore[empty-body]
    """Offer servers that runs can be copied to.

    Returns: ``autotrack.remote.Offer`` objects; what they need for speaking to a server must not be imported.
    Called: In the process that copies, and where a store is given as a URI; never during a training.
    If it raises: The error is logged once, naming the plugin; other plugins are not affected.
    """
