"""Export neural head avatars to phones: restricted-op ONNX and DLC that fit SNPE's layer list."""

__version__ = "0.1.0"
