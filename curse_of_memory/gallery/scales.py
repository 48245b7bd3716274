"""The scales of a figure, and the folder of each: reduced, full, and any other.

The folder of figures holds the preset ``fast``, the defaults of the notebooks. In it ``full_scale/`` holds
the preset ``paper``, and ``custom/`` whatever has the parameters of neither. Where both presets have the same
parameters there is nothing to scale: what is in the folder of figures is full scale, and not drawn twice.
"""

__all__ = [
    *("CUSTOM", "CUSTOM_FOLDER", "DEFAULTS", "FULL_SCALE", "FULL_SCALE_FOLDER", "PLACES", "check_folder"),
]

FULL_SCALE, DEFAULTS, CUSTOM = "paper", "fast", "custom"  # presets; the last is none
FULL_SCALE_FOLDER, CUSTOM_FOLDER = "full_scale", "custom"
PLACES = {DEFAULTS: "", FULL_SCALE: FULL_SCALE_FOLDER}  # by preset; what is both belongs to the first


def check_folder(name: str) -> None:
    """Refuse the name of a paper's folder that is that of a scale.

    Raises
    ------
    ValueError
        If it is; it says what to do.
    """
    if name in (FULL_SCALE_FOLDER, CUSTOM_FOLDER):
        raise ValueError(f"{name}/ is where figures of another scale go; give the paper another folder")
