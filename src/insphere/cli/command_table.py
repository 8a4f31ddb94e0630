"""The list of all commands, in the order in which a newcomer needs them.

A new command needs one line here and one file in `insphere.cli.commands`.
"""

from __future__ import annotations

COMMANDS: dict[str, dict[str, str]] = {
    "First steps": {
        "demo": "demo:demo",
        "fit": "fit:fit",
        "score": "score:score",
        "evaluate": "score:evaluate",
        "report": "score:report",
        "choose": "choose:choose",
        "studio": "studio:studio",
    },
    "Data and models": {
        "datasets": "info:datasets",
        "methods": "methods:methods",
        "info": "info:info",
        "watch": "watch:watch",
        "refit": "refit:refit",
        "drift": "drift:drift",
        "label-queue": "label_queue:label_queue",
        "cache": "cache:cache",
    },
    "Out of the door": {
        "export": "export:export",
        "verify": "export:verify",
        "serve": "serve:serve",
        "push": "hub:push",
        "pull": "hub:pull",
    },
    "Many runs": {
        "sweep": "sweep:sweep",
        "figures": "figures:figures",
        "ablate": "ablate:ablate",
        "collapse": "collapse:collapse",
    },
}
"""``module:function`` of each command, by its name, under the headings of the help."""
