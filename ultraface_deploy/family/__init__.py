"""What makes a network an UltraFace: its spec, layers, checkpoint, anchors and box coding."""
