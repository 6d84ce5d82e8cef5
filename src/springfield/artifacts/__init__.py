"""The exported model: ONNX files, their proof, and the model's card."""
