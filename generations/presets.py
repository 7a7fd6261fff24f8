"""Words that help to begin: three first prompts, and camera moves and looks as prose.

The 2.x models ignore ``camera_control``, so a move is said in the prompt; one move a shot works best.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Idea:
    """A first prompt with its ratio and the drawing that stands beside it in an empty library."""

    art: str
    size: str
    prompt: object

    @property
    def query(self) -> str:
        """What fills the composer."""
        return urlencode({"prompt": self.prompt, "size": self.size})


@dataclass(frozen=True)
class Move:
    """A camera move or a look: its name on the button, and the sentence that is added to the prompt."""

    name: object
    prose: object


IDEAS = (
    Idea(
        "img/idea-ridge.svg",
        "16:9",
        _(
            "Last light on layered mountain ridges. Haze drifts between the hills, one bird crosses the sun. "
            "Warm against cold, wide lens. The camera pushes in slowly."
        ),
    ),
    Idea(
        "img/idea-street.svg",
        "9:16",
        _(
            "A cyclist with a red umbrella rides through a rainy city street at night. Neon signs mirror in "
            "the wet asphalt, steam rises from a grate. The camera tracks beside her."
        ),
    ),
    Idea(
        "img/idea-cup.svg",
        "1:1",
        _(
            "A ceramic cup on a wooden table by a window. Steam curls up, morning light moves over the "
            "glaze, dust floats in the beam. Shallow focus. The camera stays still."
        ),
    ),
)

MOVES = (
    Move(_("Push in"), _("The camera pushes in slowly.")),
    Move(_("Pull back"), _("The camera pulls back and reveals the scene.")),
    Move(_("Orbit"), _("The camera orbits the subject.")),
    Move(_("Track"), _("The camera tracks beside the subject.")),
    Move(_("Crane up"), _("The camera rises straight up.")),
    Move(_("Handheld"), _("Handheld camera with a slight sway.")),
    Move(_("Still"), _("The camera stays still.")),
)

LOOKS = (
    Move(_("Golden hour"), _("Golden hour, low warm sun, long shadows.")),
    Move(_("Blue hour"), _("Blue hour, cool dusk light, first lamps lit.")),
    Move(_("Film grain"), _("Shot on 35 mm film, fine grain, soft highlights.")),
    Move(_("Noir"), _("Black and white, hard side light, deep shadows.")),
    Move(_("Macro"), _("Macro lens, very shallow focus, every texture visible.")),
    Move(_("Slow motion"), _("Slow motion, every movement drawn out.")),
    Move(_("Anime"), _("Hand-drawn anime style, clean lines, flat colours.")),
)
