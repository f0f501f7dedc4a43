"""The photographs behind the networks: which picture trains, which one tests, and who gave it away."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Pictures of one origin; `test` ones are never trained on, `left_out` ones are drawings or doubles."""

    folder: str
    origin: str
    licence: str
    test: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


SOURCES = (
    Source(
        folder="budgie",
        origin="BuddiesOfBudgie/budgie-backgrounds (GitHub)",
        licence="CC0-1.0",
        test=("canyon-wren", "roman-colosseum", "oakland-zoo-otters", "the-spices-of-life"),
        left_out=("valley-midnight", "waves-midnight", "ocean-waves"),
    ),
    Source(
        folder="elementary",
        origin="elementary/wallpapers (GitHub), the pictures that its debian/copyright names as CC0",
        licence="CC0-1.0",
        test=("Rob_Bye",),
        left_out=("Photo_by_SpaceX",),
    ),
    Source(
        folder="pop",
        origin="pop-os/wallpapers (GitHub), the photographs that its README names as public domain",
        licence="public domain",
        test=("kait-herzog-8242", "jad-limcaco-183877"),
        left_out=("tony-webster-97532",),
    ),
    Source(
        folder="lomiri",
        origin="lomiri-wallpapers-16.04 (Debian): Aitzol Berasategi, Trevor 'Freespace', Jakub Mede "
        "(CC-BY-4.0), Clemens Engelhardt (CC0-1.0)",
        licence="CC-BY-4.0, CC0-1.0",
        test=("picosdeeuropa_by_Aitzol_Berasategi",),
        left_out=("umang_by_Abhishek_Mudgal",),
    ),
    Source(
        folder="skimage",
        origin="scikit-image's own sample pictures",
        licence="public domain, CC0-1.0",
        test=("astronaut", "chelsea", "coffee"),
    ),
    Source(
        folder="sklearn",
        origin="scikit-learn's sample pictures (danielbuechele, vultilion)",
        licence="CC-BY-2.0",
        test=("china", "flower"),
    ),
)
