"""DLC files, the containers that SNPE runtimes load: written by an SDK or by onnxruntime-qnn."""

from avatar_export.dlc.record import DlcRecord, DlcWriter, IoTensor, Readers
from avatar_export.dlc.writer import find_writer, write_dlc

__all__ = ["DlcRecord", "DlcWriter", "IoTensor", "Readers", "find_writer", "write_dlc"]
