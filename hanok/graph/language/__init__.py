"""Language models from their own files: configuration, weights, and the ONNX models that they become."""
