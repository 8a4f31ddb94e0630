"""The list of all kinds of synthetic anomalies."""

from __future__ import annotations

from insphere.synthetic_anomalies.blur_patch import BlurPatch
from insphere.synthetic_anomalies.crack import Crack
from insphere.synthetic_anomalies.cut_paste import CutPaste
from insphere.synthetic_anomalies.fold import Fold
from insphere.synthetic_anomalies.kind import SyntheticAnomaly
from insphere.synthetic_anomalies.roughness import Roughness
from insphere.synthetic_anomalies.scar import Scar
from insphere.synthetic_anomalies.shading import Shading
from insphere.synthetic_anomalies.spots import Spots
from insphere.synthetic_anomalies.texture import ForeignTexture

KINDS: dict[str, SyntheticAnomaly] = {
    kind.key: kind
    for kind in (
        CutPaste(),
        Scar(),
        ForeignTexture(),
        Spots(),
        Crack(),
        Fold(),
        BlurPatch(),
        Shading(),
        Roughness(),
    )
}
"""Every kind by its key. A new kind is a file with a class, and a line here."""
