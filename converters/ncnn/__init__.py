"""ncnn: through pnnx where it is installed, else through our own writer."""
