"""One file a target: ONNX."""
