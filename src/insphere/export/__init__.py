"""A fitted detector as one ONNX file with everything inside, and the proof that it scores alike."""
