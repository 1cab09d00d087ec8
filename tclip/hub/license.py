"""Under which license a ternary model may be published: its original's."""

import re
from dataclasses import dataclass
from typing import Any

from tclip.errors import UserError
from tclip.hub.base import Base

# Creative Commons' "no derivatives", as in cc-by-nc-nd-4.0, and what others say in words.
NO_DERIVATIVES = re.compile(r"(^|[-_ ])nd([-_ ]|$)|no[-_ ]?deriv", re.IGNORECASE)
# Whoever changes such a work may publish the result under another license.
PERMISSIVE = frozenset(
    (
        "mit",
        "apache-2.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "isc",
        "zlib",
        "ncsa",
        "cc0-1.0",
        "unlicense",
    )
)
LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class License:
    """A license as a card's front matter tells it.

    Attributes:
        id: as the Hub spells it, such as "apache-2.0" or "other".
        name: of a license that the Hub has no id for.
        link: to its text.
    """

    id: str
    name: str | None = None
    link: str | None = None


def license_for(base: Base, stated: str | None) -> License:
    """Return the license to publish under.

    Args:
        base: the original.
        stated: what the user says, as an id of the Hub; needed where the original's card says nothing.

    Raises:
        UserError: it is not known; it forbids derivatives; or another is stated than the original allows.
    """
    if stated is not None and not LICENSE_ID.fullmatch(stated):
        raise UserError(f'--license takes an id of the Hub such as mit or apache-2.0, not "{stated}".')
    known = _known(base)
    for license in [each for each in (known, License(stated) if stated else None) if each]:
        if NO_DERIVATIVES.search(f"{license.id} {license.name or ''}"):
            raise UserError(
                f"{base.name} is under {license.name or license.id}, which forbids to publish what is made "
                "from it: a ternary model is such a thing, so keep it to yourself or ask the owner."
            )
    if known is None:
        if stated is None:
            raise UserError(
                f"The license of {base.name} is not known ({base.unknown or 'its card names none'}): look it "
                "up and state it with --license, as the Hub spells it, such as mit or apache-2.0."
            )
        return License(stated)
    if stated in (None, known.id):
        return known
    if known.id not in PERMISSIVE:
        raise UserError(
            f"{base.name} is under {known.name or known.id}, and what is made from it stays so: "
            f"leave out --license {stated}."
        )
    return License(str(stated))


def _known(base: Base) -> License | None:
    """Return what the original's card says; several licenses stay together."""
    license: Any = base.facts.get("license")
    ids = [str(each).lower() for each in (license if isinstance(license, list) else [license]) if each]
    if not ids or ids == ["unknown"]:
        return None
    if len(ids) > 1:
        return License("other", " and ".join(ids), _link("README.md", base))
    name, link = base.facts.get("license_name"), base.facts.get("license_link")
    return License(ids[0], str(name) if name else None, _link(str(link), base) if link else None)


def _link(link: str, base: Base) -> str | None:
    """A link within the original's repository leads nowhere from another."""
    if "://" in link:
        return link
    return f"https://huggingface.co/{base.hub_id}/blob/main/{link}" if base.hub_id else None
