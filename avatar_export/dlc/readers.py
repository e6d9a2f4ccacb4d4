"""Which runtimes can be expected to load a DLC, and how that is known.

No DLC made here has run on a phone. What stands below was seen with SNPE/QAIRT 2.25.0.240728's own
DLC reader (its Python module, which snpe-dlc-info uses), or is written in Qualcomm's documents.
"""

from __future__ import annotations

from avatar_export.dlc.record import DlcRecord, DlcWriter, Readers, release

BLIND_TO_QNNIR = (2, 25)
"""Newest release seen to open a libQnnIr file without its weights."""

_SAME_SDK = "Qualcomm's rule is to convert and run with the same SDK"
_FOR_855 = (
    "for another runtime set SNPE_ROOT to its SDK and write the DLC again; for Snapdragon 855 that"
    " is SDK 2.5, which still lists the chip"
)


def expected(writer: DlcWriter, converter_version: str) -> Readers:
    """The readers of what ``writer`` makes; ``converter_version`` is what the DLC itself claims."""
    version = release(converter_version) or release(writer.version)
    name = f"{version[0]}.{version[1]}" if version else "of the same version"
    if writer.name == "qnnir":
        return Readers(
            f"QAIRT/SNPE {name} or newer; unknown from 2.26 up to it; not 2.25 or older (2.5 is"
            " one of these), and not 1.x",
            "not loaded by any runtime on a device. The file is in the form of the QNN"
            f" {name} library that wrote it: format 4.1, weights in the member model.params.bin."
            " The reader of SDK 2.25 does not know that member and opens the file with empty"
            " weights, so older ones cannot be expected to; DLCs of 1.x and 2.x do not mix",
            _FOR_855,
        )
    return Readers(
        f"SNPE/QAIRT {name}",
        f"not loaded by any runtime on a device. Written by that SDK's own converter; {_SAME_SDK},"
        " and DLCs of 1.x and 2.x do not mix (SNPE1 to SNPE2 Migration Guide)",
        _FOR_855,
    )


def mismatch(record: DlcRecord, sdk_wanted: str) -> str:
    """A warning when the runtime of ``sdk_wanted`` is not expected to load the DLC, else empty.

    Args:
        record: of the written DLC.
        sdk_wanted: a version such as ``2.5`` or ``snpe-1.43.0``; empty for none in particular.
    """
    wanted = release(sdk_wanted)
    made = release(record.converter_version) or release(record.writer_version)
    if not wanted or not made:
        return ""
    made_by = f"the DLC is written by {record.writer} {made[0]}.{made[1]}"
    if wanted[0] != made[0]:
        return f"{made_by}, the runtime wanted is {sdk_wanted}: DLCs of 1.x and 2.x do not mix"
    if record.writer == "qnnir" and wanted <= BLIND_TO_QNNIR:
        return (
            f"{made_by}: a {sdk_wanted} runtime cannot be expected to find its weights; {_FOR_855}"
        )
    if wanted < made:
        return f"{made_by}, the runtime wanted is the older {sdk_wanted}: {_SAME_SDK}"
    return ""
